"""Where the output of a failed attempt is: in the log of its Job's pod, as long as the Job is kept."""

from __future__ import annotations

import re

from openworld.controller.names import job_name

from .plain import one_line

_EXIT_CODE = re.compile(r"\bended with exit code \d+\b")


def logs_text(reason: object, *, uid: str, namespace: str, seq: int | None) -> str:
    """`logs: kubectl logs job/…` for an attempt that ended with an exit code; empty for any other.

    `seq` is the event that scheduled the attempt: the Job is named after it.
    """
    if not uid or seq is None or not _EXIT_CODE.search(str(reason or "")):
        return ""
    return f"logs: kubectl logs job/{job_name(uid, seq)} -n {one_line(namespace)}"
