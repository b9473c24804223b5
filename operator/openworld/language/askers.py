"""How words of a model or a worker, put to a person, are labelled wherever people read them."""

from __future__ import annotations


def proposer(ref: str, agent: object) -> str:
    """`agent oncall`; of a proposer that is no agent, `task REF`."""
    return f"agent {agent}" if agent else f"task {ref}"


def untrusted(asker: str) -> str:
    """`untrusted, from agent oncall`."""
    return f"untrusted, from {asker}"
