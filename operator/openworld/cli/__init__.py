"""What people type: the `openworld` command, installed too as the kubectl plugin `kubectl openworld`.

It reads and creates custom resources as the person who runs it, and nothing else: every decision is
the operator's and the API server's. Heavy imports happen inside the verb that needs them.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line; ends the process with its exit code."""
    from .app import run

    run()


def complete() -> None:
    """`kubectl_complete-openworld`: completions of the given words in the form that kubectl reads."""
    from .completions import print_for_kubectl

    print_for_kubectl()
