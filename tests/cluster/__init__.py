"""A real single-node Kubernetes for development and tests: etcd, the control plane, a node.

Run it as `python -m tests.cluster COMMAND`. Standard library only: it must run before any
environment exists.
"""
