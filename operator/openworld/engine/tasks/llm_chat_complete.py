"""LLM_CHAT_COMPLETE: one answer of a model, from a Job. Source: Conductor's LLM_CHAT_COMPLETE task."""

from __future__ import annotations

from openworld.api import JsonObject
from openworld.engine import budget
from openworld.engine.decide import Pass
from openworld.engine.endings import fail_task
from openworld.engine.state import State, TaskState
from openworld.language.completions import completion_of
from openworld.ledger import EventType

from .built_in import BuiltInTask


class LlmChatCompleteTask(BuiltInTask):
    """The built-in tool `llm-chat-complete`. What it uses counts against the budget of tokens."""

    def job_input(self, state: State, task: TaskState) -> JsonObject:  # noqa: ARG002
        """The completion, with all its defaults."""
        return completion_of(task.input)

    def follow(self, p: Pass, task: TaskState) -> None:
        """Fail an attempt that has no Job yet when no tokens are left, however it came to be scheduled."""
        used, allowed = budget.used(p.state).tokens, budget.allowed(p.state).tokens
        if used < allowed or p.now_ms > max(task.scheduled_at_ms, task.not_before_ms):
            super().follow(p, task)
            return
        p.emit(EventType.BUDGET_EXCEEDED, ref=task.ref, limit="tokens", used=used, allowed=allowed)
        over = f"BudgetExceeded: tokens used {used} of {allowed}"
        reason = f"{task.reason}; {over}" if task.reason else over
        fail_task(p, task.ref, p.state.scope_of(task), reason, terminal=True)
