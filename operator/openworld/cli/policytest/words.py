"""What was wanted of an item, in words: by a written case, or by the record."""

from __future__ import annotations

from openworld.api import JsonObject
from openworld.cli.plain import one_line
from openworld.simulation.verdicts import Row

_SHOWN = 200


def wanted_text(row: Row, kind: str) -> str:
    """`expected Denied by no-deletes`, `was Allowed by reads`."""
    word = "expected" if kind == "Written" else "was"
    if row.wanted is None:
        return f"{word}: no such item" if kind == "Written" else "was not there"
    wanted = row.wanted
    parts = [f"{word} {wanted.get('decision', '')}".rstrip()]
    if wanted.get("rule"):
        parts.append(f"by {wanted['rule']}")
    if wanted.get("check") and "check" in row.differs:
        parts.append(f"of the check {wanted['check']}")
    if "reason" in row.differs:
        parts.append(f"with the reason …{wanted['reason']}…")
    if "approvals" in row.differs:
        parts.append(f"by {wanted['approvals']} people")
    if "approval" in row.differs:
        parts.append(f"with {_terms(wanted)}, and now {_terms(row.verdict or {})}")
    if "audited" in row.differs:
        parts.append(f"with the audit {wanted.get('audited') or 'saying nothing'}")
    return one_line(" ".join(parts), _SHOWN)


def _terms(item: JsonObject) -> str:
    terms = item.get("approval") or {}
    who = "not by the requester" if terms.get("notRequester") else "by anyone"
    return f"{terms.get('count')} approvals within {terms.get('timeoutSeconds')} s, {who}"
