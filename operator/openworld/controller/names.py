"""Names, labels and annotations of what the operator creates. All of it follows from uid and seq.

A name says which event justified the object: the first ten hex digits of the SHA-256 of the
Execution's uid, and the event's sequence number. The same event always gives the same name.
"""

from __future__ import annotations

import hashlib
import string

from openworld.api import GROUP, JsonObject

EXECUTION = f"{GROUP}/execution"
EXECUTION_UID = f"{GROUP}/execution-uid"
REF = f"{GROUP}/ref"
ATTEMPT = f"{GROUP}/attempt"
SEQ = f"{GROUP}/seq"
REPORTS = f"{GROUP}/reports"
SPEC_DIGEST = f"{GROUP}/spec-digest"
TASK = f"{GROUP}/task"
#: Stands where an execution's name does in what is about a catalog's MCP server. No object can be called so.
DISCOVERY = "catalog..discovery"
#: Set by the Job controller on the pods of a Job.
JOB_UID = "batch.kubernetes.io/controller-uid"

_LABEL_LIMIT = 63
_EDGE = string.ascii_letters + string.digits
_INNER = _EDGE + "-_."


def short_hash(text: str) -> str:
    """Ten hex digits that stand for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def job_name(execution_uid: str, seq: int) -> str:
    """Name of the Job of the attempt that event `seq` scheduled; at most 52 characters."""
    return f"ow-{short_hash(execution_uid)}-{seq}"


def seq_of_pod(execution_uid: str, pod_name: str) -> int | None:
    """The event whose Job a pod of that name belongs to, or None when it is no pod of this execution."""
    prefix = f"ow-{short_hash(execution_uid)}-"
    if not pod_name.startswith(prefix):
        return None
    seq, dash, suffix = pod_name[len(prefix) :].partition("-")
    if not dash or not suffix or "-" in suffix or not (seq.isascii() and seq.isdigit()):
        return None
    return int(seq) if seq == str(int(seq)) else None


def child_name(execution_name: str, execution_uid: str, seq: int) -> str:
    """Name of the child execution of event `seq`: its parent's name, cut, and what makes it unique."""
    return f"{execution_name[:40].rstrip('.-')}-{short_hash(execution_uid)}-{seq}"


def segment_name(execution_name: str, execution_uid: str, index: int) -> str:
    """Name of an execution's sealed segment: its name, cut, and what makes it unique."""
    return f"{execution_name[:40].rstrip('.-')}-{short_hash(execution_uid)}-l{index}"


def payload_name(execution_name: str, execution_uid: str, digest: str) -> str:
    """Name of the segment that holds a large value of an execution: the same value, the same name."""
    shown = digest.removeprefix("sha256:")[:32]
    return f"{execution_name[:20].rstrip('.-')}-{short_hash(execution_uid)}-p{shown}"


def limit_name(key: str) -> str:
    """Name of the Limit object of a key."""
    return f"limit-{short_hash(key)}"


def label_value(text: str) -> str:
    """A text as a label's value.

    What a label cannot hold (more than 63 characters, or other edges than letters and digits) is
    shortened to its first characters and a hash; the whole text then stands in the annotation of
    the same name.
    """
    fits = len(text) <= _LABEL_LIMIT and all(c in _INNER for c in text)
    if fits and (not text or (text[0] in _EDGE and text[-1] in _EDGE)):
        return text
    head = "".join(c if c in _INNER else "-" for c in text[:50]).strip("-_.")
    return f"{head or 'x'}.{short_hash(text)}"


def labels_of(body: JsonObject) -> dict[str, str]:
    """The labels of an object."""
    return body["metadata"].get("labels") or {}


def annotations_of(body: JsonObject) -> dict[str, str]:
    """The annotations of an object."""
    return body["metadata"].get("annotations") or {}


def seq_of(body: JsonObject) -> int | None:
    """The sequence number that an object is labelled with."""
    text = labels_of(body).get(SEQ, "")
    return int(text) if text.isascii() and text.isdigit() else None


def controller_of(body: JsonObject) -> JsonObject:
    """The owner reference of the controller of an object; empty when it has none."""
    for owner in body["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            return dict(owner)
    return {}
