"""HUMAN: waits for a person's Signal; its payload is the output. Source: Conductor."""

from __future__ import annotations

from openworld.api import JsonObject, Task
from openworld.engine.decide import Pass
from openworld.engine.state import Scope, State, TaskState
from openworld.engine.timeouts import Expired
from openworld.language.reading import told
from openworld.language.schemas import violations
from openworld.ledger import EventType, rfc3339

from .kind import TaskKind

MOST_REMINDERS = 20


class HumanTask(TaskKind):
    """What a person answers is a Signal (`openworld.engine.signals`); time only escalates."""

    def schedule_data(self, p: Pass, scope: Scope, definition: Task, task_input: JsonObject) -> JsonObject:  # noqa: ARG002
        """When it is due."""
        human = definition.human
        if human is None or human.due_seconds is None:
            return {}
        return {"dueAt": rfc3339(p.now_ms + human.due_seconds * 1000)}

    def follow(self, p: Pass, task: TaskState) -> None:
        """Escalate it when it is overdue, and remind people of it."""
        human = task.definition.human
        due = self._reminder_ms(task)
        if due is not None and p.now_ms >= due:
            p.emit(EventType.TASK_REMINDED, ref=task.ref, reminder=task.reminders + 1)
        if human is not None and task.wake_at_ms is not None and p.now_ms >= task.wake_at_ms:
            p.emit(EventType.TASK_ESCALATED, ref=task.ref, to=human.escalate_to)

    def wake_ms(self, state: State, task: TaskState) -> int | None:  # noqa: ARG002
        """When it is due, or people are to be reminded."""
        return min((at for at in (task.wake_at_ms, self._reminder_ms(task)) if at is not None), default=None)

    @staticmethod
    def _reminder_ms(task: TaskState) -> int | None:
        human = task.definition.human
        if human is None or human.remind_every_seconds is None or task.reminders >= MOST_REMINDERS:
            return None
        return task.scheduled_at_ms + (task.reminders + 1) * human.remind_every_seconds * 1000

    def limit(self, state: State, task: TaskState) -> Expired | None:  # noqa: ARG002
        """timeoutSeconds of the task, from when it was asked."""
        seconds = task.definition.human.timeout_seconds if task.definition.human is not None else None
        if seconds is None:
            return None
        reason = f"nobody answered within timeoutSeconds ({seconds} s)"
        return Expired("timeoutSeconds", task.scheduled_at_ms + seconds * 1000, reason)


def may_not_answer(task: TaskState, by: str, group: str | None = None) -> str:
    """Why somebody may not answer; empty when they may. Admission has vouched for `group`."""
    human = task.definition.human
    if human is None or not (human.assignees or human.groups):
        return ""
    people = [*human.assignees, *(human.escalate_to if task.escalated else ())]
    if by in people or group in human.groups:
        return ""
    whose = ", ".join([*people, *(f"group {name}" for name in human.groups)])
    whom = f"{by} for group {group}" if group else by
    hint = "" if group or not human.groups else "; who answers for a group names it in the signal"
    return f"task {task.ref} is for {whose} to answer, not for {whom}{hint}"


def unfit(task: TaskState, answer: JsonObject) -> str:
    """How an answer breaks the form; empty when it does not."""
    schema = task.definition.human.form_schema if task.definition.human is not None else None
    return told(violations(schema, answer)) if schema is not None else ""
