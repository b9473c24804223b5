"""Secrets in a task's input: named by the author, never in the record, put in place by the worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from openworld.api import Workflow
from openworld.controller.jobs import Owner, build_job, task_document
from openworld.controller.settings import Settings
from openworld.language.checks import check_workflow
from openworld.language.reading import read
from openworld_worker.assignment import read_task
from openworld_worker.errors import ContractError
from tests.support.world import World, world
from tests.unit.test_engine_agent import agent_world, propose

INPUT = {
    "headers": {"Authorization": "Bearer ${workflow.secrets.crm.token}"},
    "again": ["${workflow.secrets.crm.token}", "${workflow.secrets['mail-box'].password}"],
    "said": "${workflow.input.said}",
}


def named(**spec: Any) -> World:
    """A task that names two keys."""
    return world(
        {"ref": "x", "type": "a", "input": INPUT}, spec={"input": {"said": "$(OPENWORLD_SECRET_0)"}, **spec}
    ).step()


def test_a_mark_stands_where_the_value_will_be_and_the_job_gets_the_key() -> None:
    w = named()
    event = w.of_type("TaskScheduled")[0]
    assert event["input"]["headers"] == {"Authorization": "Bearer $(OPENWORLD_SECRET_0)"}
    assert event["secrets"] == [
        {"path": ["headers", "Authorization"], "env": "OPENWORLD_SECRET_0", "name": "crm", "key": "token"},
        {"path": ["again", 0], "env": "OPENWORLD_SECRET_0", "name": "crm", "key": "token"},
        {"path": ["again", 1], "env": "OPENWORLD_SECRET_1", "name": "mail-box", "key": "password"},
    ]
    job = w.jobs["x"]
    owner = Owner.of(w.state)
    document = task_document(owner, job, "2027-01-15T08:00:00Z")
    made = build_job(owner, job, Settings(agent_image="i"), document=document, deadline="d", suspend=False)
    variables = {e["name"]: e for e in made["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert variables["OPENWORLD_SECRET_1"]["valueFrom"] == {
        "secretKeyRef": {"name": "mail-box", "key": "password"}
    }


def test_the_worker_puts_values_at_the_author_s_places_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    w = named()
    file = tmp_path / "task.json"
    file.write_bytes(task_document(Owner.of(w.state), w.jobs["x"], "2027-01-15T08:00:00Z"))
    with pytest.raises(ContractError, match="OPENWORLD_SECRET_0 of a secret is not set"):
        read_task(file)
    monkeypatch.setenv("OPENWORLD_SECRET_0", "t0k")
    monkeypatch.setenv("OPENWORLD_SECRET_1", "pw")
    task = read_task(file)
    assert task["input"] == {
        "headers": {"Authorization": "Bearer t0k"},
        "again": ["t0k", "pw"],
        "said": "$(OPENWORLD_SECRET_0)",
    }
    assert "secrets" not in task


def test_an_account_that_may_not_use_a_secret_runs_nothing() -> None:
    w = world({"ref": "x", "type": "a", "input": INPUT})
    w.denied_tools.add("crm")
    w.step()
    assert w.jobs == {}
    assert (
        "service account 'default' may not use secret 'crm'; grant it verb 'use' on secrets/crm"
        in w.state.reason
    )


def test_nothing_of_a_secret_can_be_proposed_or_read_elsewhere() -> None:
    w = agent_world()
    propose(w, {"type": "look", "input": {"v": "${workflow.secrets.crm.token}"}})
    assert w.of_type("ProposalJudged")[0]["items"][0]["decision"] == "Denied"
    w = world(
        {"ref": "x", "type": "a", "input": INPUT},
        {"ref": "y", "type": "b", "input": {"v": "${x.input.headers}"}},
    ).step()
    w.completes("x", {})
    assert w.jobs["y"].input == {"v": {"Authorization": "Bearer $(OPENWORLD_SECRET_0)"}}
    assert w.jobs["y"].secrets == ()


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"type": "INLINE", "input": {"evaluatorType": "jq", "expression": ".", "v": "${workflow.secrets.a.b}"}},
         "secrets reach only SIMPLE"),
        ({"type": "a", "input": {"v": "${workflow.secrets.a}"}}, "write ${workflow.secrets.NAME.KEY}"),
        ({"type": "a", "input": {"v": "${workflow.secrets[*].b}"}}, "write ${workflow.secrets.NAME.KEY}"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_before_it_runs(task: dict[str, Any], message: str) -> None:
    spec = {"tasks": [{"ref": "x", **task}], "catalogs": ["tools"]}
    found = check_workflow(read(Workflow, json.loads(json.dumps(spec))))
    assert any(message in finding.message for finding in found)
    spec = {"tasks": [{"ref": "x", "type": "NOOP"}], "outputParameters": {"v": "${workflow.secrets.a.b}"}}
    (finding,) = check_workflow(read(Workflow, spec))
    assert finding.path == "spec.outputParameters.v"
