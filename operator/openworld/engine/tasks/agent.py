"""AGENT: turns until there is an answer. Each turn is one Job that proposes and executes nothing."""

from __future__ import annotations

from collections.abc import Iterator

from openworld.api import Agent
from openworld.engine import budget, context, governed, overdraft
from openworld.engine.decide import Pass
from openworld.engine.endings import CONTEXT_LIMIT_BYTES, fail_task
from openworld.engine.needs import Definition, DefinitionKind, NeedDefinition
from openworld.engine.outside import DesiredJob
from openworld.engine.state import State, TaskState
from openworld.engine.timeouts import Expired
from openworld.language.canonical import NotCanonical, canonical, digest, normalise
from openworld.language.expressions import ExpressionError
from openworld.ledger import EventType

from .kind import TaskKind
from .simple import BACKSTOP_SECONDS, idempotency_key


class AgentTask(TaskKind):
    """A model that reasons; the runtime governs."""

    def follow(self, p: Pass, task: TaskState) -> None:
        """Start the first turn, or after a turn whose items have all ended: answer, give up, or go on."""
        turn = task.turn
        over = overdraft.of_time(p)
        if over is not None:
            overdraft.used_up(p, task, over)
            return
        if turn is None:
            self._start_turn(p, task, 1)
            return
        if not turn.judged or task.open_scopes:
            return
        if turn.answer is not None:
            p.emit(EventType.TASK_COMPLETED, ref=task.ref, attempt=task.attempt, output=turn.answer)
            return
        rejected = 0
        for past in reversed(task.turns[task.forgiven_turns :]):
            if not past.nothing_allowed:
                break
            rejected += 1
        if rejected >= p.state.limits.rejections:
            self._fail(
                p, task, f"ProposalsRejected: {rejected} turns in a row with nothing allowed; {_why(task)}"
            )
            return
        self._start_turn(p, task, turn.number + 1)

    def _start_turn(self, p: Pass, task: TaskState, number: int) -> None:
        if p.state.is_paused:
            return
        name = task.input.get("agent")
        if not isinstance(name, str) or not name:
            self._fail(p, task, "InvalidInput: inputParameters.agent must name an Agent")
            return
        source = self._agent(p, task, name)
        if source is None:
            return
        agent, agent_digest = source
        catalogs = governed.catalogs(p, list(agent.catalogs))
        around = governed.agents_of(p.state, p.state.scope_of(task))
        policies = governed.policies(p, [agent, *around])
        if catalogs is None or policies is None:
            return
        over = overdraft.before_turn(p.state, task, agent, number)
        if over is not None:
            overdraft.used_up(p, task, over)
            return
        if not governed.has_capacity(p):
            return
        try:
            shown = normalise(
                context.project(
                    p.state,
                    task,
                    agent_name=name,
                    agent=agent,
                    turn=number,
                    catalogs=catalogs,
                    policies=policies,
                    now_ms=p.now_ms,
                )
            )
        except (ExpressionError, NotCanonical) as error:
            self._fail(p, task, f"ContextUnusable: context settings of Agent {name!r}: {error}")
            return
        size = len(canonical(shown))
        if size > CONTEXT_LIMIT_BYTES:
            self._fail(
                p,
                task,
                f"ContextTooLarge: the context has {size} bytes, the limit is {CONTEXT_LIMIT_BYTES}; "
                "narrow context.include or context.historyTurns of the Agent",
            )
            return
        pin = {"name": name, "digest": agent_digest}
        known = agent_digest in p.state.agents
        p.emit(
            EventType.TURN_STARTED,
            ref=task.ref,
            turn=number,
            agent=pin if known else {**pin, "definition": agent.wire()},
            context=shown,
            contextDigest=digest(shown),
        )

    def _agent(self, p: Pass, task: TaskState, name: str) -> tuple[Agent, str] | None:
        """The Agent of the next turn: as it stands now, or as a person has approved it."""
        approved = p.state.agents.get(task.subject_digest)
        if approved is not None:
            return approved[1], task.subject_digest
        answer = p.ask(NeedDefinition(DefinitionKind.AGENT, name))
        if not isinstance(answer, Definition):
            return None
        if not isinstance(answer.model, Agent):
            self._fail(p, task, answer.problem or f"Agent {name!r} cannot be used")
        elif task.subject_digest not in ("", answer.digest):
            self._fail(p, task, f"Changed: Agent {name!r} is not the one that was approved any more")
        else:
            return answer.model, answer.digest
        return None

    @staticmethod
    def _fail(p: Pass, task: TaskState, reason: str) -> None:
        fail_task(p, task.ref, p.state.scope_of(task), reason, terminal=True)

    def desired(self, state: State, task: TaskState) -> Iterator[DesiredJob]:
        """The Job of the turn that has not been answered."""
        turn = task.turn
        if turn is None or turn.received:
            return
        name, agent = state.agents[task.agent_digest]
        yield DesiredJob(
            seq=task.seq,
            ref=task.ref,
            attempt=task.attempt,
            input=task.input,
            idempotency_key=idempotency_key(state, task),
            deadline_seconds=2 * agent.turn_timeout_seconds + BACKSTOP_SECONDS,
            agent=agent,
            agent_name=name,
            turn=turn.number,
            context=turn.context,
            earlier=task.earlier,
        )

    def wake_ms(self, state: State, task: TaskState) -> int | None:
        """When the execution's time is used up, whatever the agent waits for."""
        return None if overdraft.waits_for_the_turn(state, task) else budget.ends_ms(state)

    def limit(self, state: State, task: TaskState) -> Expired | None:
        """turnTimeoutSeconds of the agent, from the container's start; as long again to start at all."""
        if task.turn is None or task.turn.received:
            return None
        seconds = state.agents[task.agent_digest][1].turn_timeout_seconds
        since = task.started_at_ms or max(task.scheduled_at_ms, task.not_before_ms)
        reason = f"the turn took longer than turnTimeoutSeconds ({seconds} s)"
        if task.started_at_ms is None:
            reason = (
                f"the turn did not start within turnTimeoutSeconds ({seconds} s): "
                "its pod was not scheduled or its image not pulled"
            )
        return Expired("turnTimeoutSeconds", since + seconds * 1000, reason)


def _why(task: TaskState) -> str:
    turn = task.turns[-1]
    if turn.problem:
        return turn.problem
    return "; ".join(f"{item['ref']}: {item['reason']}" for item in turn.verdict)
