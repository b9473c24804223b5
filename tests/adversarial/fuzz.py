"""Hostile proposals by the million: mutations of valid and of hostile ones, judged by the validator and played.

`python -m tests.adversarial.fuzz --seconds 300 --seed 7` tries for so long and says what it found.
Everything follows from the seed. What may come out is said by `oracle`, which shares no code with the validator.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from functools import cache
from random import Random
from typing import Any

from openworld.api import Agent, Policy, ReportStatus, SignalType, Task, ToolCatalog
from openworld.governance import (
    AgentSource,
    CatalogSource,
    ExecutionFacts,
    Failed,
    PolicySource,
    Question,
    Spent,
    Verdict,
    judge,
    judge_task,
)
from openworld.governance.question import Amounts
from openworld.ledger import genesis, verify
from openworld_worker.agent.dialects import normalise

from . import oracle
from .loading import environments
from .mutations import a_message, a_proposal, a_scalar, a_value, mutated
from .playing import Watched

ENVIRONMENT = "fuzz"
NOW_MS = 1_800_000_000_000
#: Longer than this for one verdict is a finding: it is the operator that waits.
SLOW_SECONDS = 5.0


@cache
def _base() -> Question:
    """A question on the environment `fuzz`, in which an agent proposes in its second turn."""
    environment = environments()[ENVIRONMENT]

    def catalog(name: str) -> CatalogSource:
        return CatalogSource(name, f"sha256:{name}", ToolCatalog.model_validate(environment.catalogs[name]))

    def policy(name: str) -> PolicySource:
        return PolicySource(name, f"sha256:{name}", Policy.model_validate(environment.policies[name]))

    return Question(
        execution=ExecutionFacts(
            "run", "team", "uid", environment.input, "alice@example.com", "runner", NOW_MS - 1000, "incident"
        ),
        now_ms=NOW_MS,
        proposer="triage",
        catalogs=(catalog("ops"),),
        policies=tuple(policy(name) for name in environment.policies),
        access={tool: tool not in environment.refused_tools for tool in oracle.EVERY_TOOL},
        visible=frozenset({"shown"}),
        taken=frozenset({"triage__2__c", "triage"}),
        own=frozenset({"triage__1__a", oracle.FAILED}),
        failed={
            oracle.FAILED: Failed(
                Task.model_validate({"name": "note", "taskReferenceName": oracle.FAILED}), oracle.RECORDED
            )
        },
        prefix="triage__2__",
        spent=Spent(used=Amounts(tasks=4), turn=2, depth=1),
        agent=AgentSource("triage", "sha256:agent", Agent.model_validate(environment.agents["triage"])),
    )


def tried(proposal: Any) -> tuple[Verdict, list[str]]:
    """The verdict on a proposal, and what the oracle has against it."""
    began = time.perf_counter()
    verdict = judge(_base(), proposal)
    took = time.perf_counter() - began
    found = oracle.against(proposal, verdict, used_tasks=4)
    if took > SLOW_SECONDS:
        found.append(f"the verdict took {took:.1f} s")
    return verdict, found


def tried_before_start(rnd: Random, verdict: Verdict) -> list[str]:
    """What the oracle has against the verdicts on accepted tasks whose input has become something else."""
    found = []
    for item in verdict.items:
        if item.task is not None:
            given = a_value(rnd)
            resolved = given if isinstance(given, dict) else mutated(rnd, item.task.input_parameters)
            if isinstance(resolved, dict):
                found += oracle.against_start(item.task, resolved, judge_task(_base(), item.task, resolved))
    return found


def a_start(rnd: Random) -> list[str]:
    """What the oracle has against the verdict on some tool with some input."""
    name = rnd.choice(oracle.EVERY_TOOL)
    task = Task.model_validate({"name": name, "taskReferenceName": "triage__2__x"})
    given = a_value(rnd)
    resolved = given if isinstance(given, dict) else {"service": given, "to": given, "text": given}
    return oracle.against_start(task, resolved, judge_task(_base(), task, resolved))


def played(rnd: Random) -> list[str]:
    """What the oracle has against a whole run: some turns, some signals, whatever comes."""
    environment = environments()[ENVIRONMENT]
    namespace = Watched(environment)
    namespace.define_all(environment)
    run = namespace.start(
        environment.start, environment.input, requested_by="alice@example.com", service_account_name="runner"
    )
    namespace.settle()
    for _ in range(rnd.randrange(1, 6)):
        if run.state.is_final:
            break
        jobs = list(run.jobs(namespace.now_ms))
        kind = rnd.randrange(10)
        if jobs and kind < 7:
            _works(rnd, namespace, run, rnd.choice(jobs))
        elif kind < 9:
            _says(rnd, namespace, run)
        else:
            namespace.advance(rnd.choice((1, 60, 700)))
    for execution in namespace.executions:
        if execution.events:
            first = execution.events[0]
            prev = genesis(execution.uid, first.get("definition"), execution.identity.spec.input)
            verify(execution.events, first=0, prev=prev)
    return oracle.against_run(
        run, [job for _, job in namespace.jobs.values()], list(namespace.children.values())
    )


def _works(rnd: Random, namespace: Watched, run: Any, ref: str) -> None:
    usage = rnd.choice((None, {"tokensIn": rnd.randrange(9000)}))
    if rnd.random() < 0.3:
        namespace.report(run, ref, output=a_value(rnd) if rnd.random() < 0.5 else {"v": a_value(rnd)})
        return
    if rnd.random() < 0.1:
        namespace.report(run, ref, ReportStatus.FAILED, reason=str(a_scalar(rnd)))
        return
    proposal = a_proposal(rnd) if rnd.random() < 0.7 else normalise(*a_message(rnd))
    namespace.report(run, ref, proposal=proposal, usage=usage)


def _says(rnd: Random, namespace: Watched, run: Any) -> None:
    ref = rnd.choice([*run.state.tasks, "ghost"])
    gate = run.state.tasks[ref].gate if ref in run.state.tasks else None
    kind = rnd.choice(
        [SignalType.APPROVE, SignalType.APPROVE, SignalType.REJECT, SignalType.COMPLETE, SignalType.SKIP]
    )
    payload = rnd.choice(({}, {"input": a_value(rnd)}, {"input": {"service": "checkout", "to": 2}}))
    namespace.signal(
        run,
        kind,
        by=rnd.choice(("alice@example.com", "bob@example.com", "carol@example.com")),
        ref=ref,
        tool=gate.tool if gate and rnd.random() < 0.9 else None,
        item_digest=gate.digest if gate and rnd.random() < 0.9 else "sha256:0",
        payload=payload,
    )


def _shown(value: Any) -> str:
    try:
        return repr(value)[:3000]
    except (ValueError, RecursionError):  # a number without end, or no end of depth
        return "what cannot be shown"


class Found(Exception):
    """Something that must not be."""


def once(rnd: Random, counts: Counter[str]) -> None:
    """One example of one kind. Raises Found, or whatever the validator raised."""
    kind = rnd.randrange(40)
    if kind == 0:
        counts["runs"] += 1
        found = played(rnd)
        subject: Any = "a run"
    elif kind < 6:
        counts["starts"] += 1
        found, subject = a_start(rnd), "a start"
    else:
        subject = a_proposal(rnd)
        if kind < 16:
            counts["messages"] += 1
            dialect, says = a_message(rnd)
            subject = normalise(dialect, says, structured=rnd.random() < 0.5)
        counts["proposals"] += 1
        verdict, found = tried(subject)
        counts["items"] += len(verdict.items)
        counts["not denied"] += sum(item.task is not None for item in verdict.items)
        found += tried_before_start(rnd, verdict)
    if found:
        raise Found(f"{found} against {_shown(subject)}")


def main() -> int:
    """Try for some seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--most-findings", type=int, default=5)
    given = parser.parse_args()
    counts: Counter[str] = Counter()
    until, number, findings = time.monotonic() + given.seconds, 0, 0
    while time.monotonic() < until and findings < given.most_findings:
        number += 1
        try:
            once(Random(f"{given.seed}/{number}"), counts)  # noqa: S311  (a seed, no secret)
        except Exception as error:
            findings += 1
            print(
                f"example {number} of seed {given.seed}: {type(error).__name__}: {error}"[:4000], flush=True
            )
            if not isinstance(error, Found):
                import traceback

                traceback.print_exc()
    told = ", ".join(f"{amount} {what}" for what, amount in sorted(counts.items()))
    print(f"{number} examples of seed {given.seed}: {told}; {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
