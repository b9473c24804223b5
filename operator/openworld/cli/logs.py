"""Where the output of a failed attempt is: in the log of its Job's pod, as long as the Job is kept."""

from __future__ import annotations

import re

from openworld.controller.names import job_name

from .plain import one_line

_EXIT_CODE = re.compile(r"\bended with exit code \d+\b")
#: The pod is gone, and its log with it.
_GONE = re.compile(r"^the pod \S+ was (deleted while|ended by its node|taken away)")


def logs_text(reason: object, *, uid: str, namespace: str, seq: int | None, had_pod: bool) -> str:
    """`logs: kubectl logs job/…` for an attempt whose container ran; empty for any other.

    `seq` is the event that scheduled the attempt: the Job is named after it. `had_pod` is whether the
    record knows of the attempt's pod; an exit code in the reason says the same.
    """
    said = str(reason or "")
    ran = (had_pod and not _GONE.search(said)) or _EXIT_CODE.search(said)
    if not uid or seq is None or not ran:
        return ""
    return f"logs: kubectl logs job/{job_name(uid, seq)} -n {one_line(namespace)}"
