"""Openworld: durable, governed, open-world execution of workflows and agents on Kubernetes."""

__version__ = "0.1.0"
