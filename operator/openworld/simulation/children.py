"""What an execution starts, as the spec of the execution that is started."""

from __future__ import annotations

from openworld.api import Execution, JsonObject
from openworld.engine.outside import DesiredChild

from .executions import SimulatedExecution


def spec_of_child(parent: SimulatedExecution, child: DesiredChild) -> Execution:
    """The spec of a child or of a detached execution, under its parent's account and requester.

    Raises pydantic's ValidationError when the API server would refuse it.
    """
    by = parent.identity.spec
    spec: JsonObject = {
        "input": child.input,
        "requestedBy": by.requested_by,
        "serviceAccountName": by.service_account_name,
    }
    if child.correlation_id:
        spec["correlationId"] = child.correlation_id
    if child.definition is not None:
        spec["workflow"] = child.definition
    else:
        spec["workflowRef"] = {"name": child.workflow_name}
        if child.version is not None:
            spec["workflowRef"]["version"] = child.version
    spec["parent"] = {
        "name": parent.name,
        "uid": parent.uid,
        "ref": child.ref or None,
        "seq": child.seq,
        "depth": child.depth,
        "detached": child.detached,
    }
    if child.workflow_digest:
        spec["parent"]["workflowDigest"] = child.workflow_digest
    return Execution.model_validate(spec)
