"""LLM_CHAT_COMPLETE: one answer of a model, from a Job. Source: Conductor's LLM_CHAT_COMPLETE task."""

from __future__ import annotations

from openworld.api import JsonObject
from openworld.engine.state import State, TaskState
from openworld.language.completions import completion_of

from .built_in import BuiltInTask


class LlmChatCompleteTask(BuiltInTask):
    """The built-in tool `llm-chat-complete`. What it uses counts against the budget of tokens."""

    def job_input(self, state: State, task: TaskState) -> JsonObject:  # noqa: ARG002
        """The completion, with all its defaults."""
        return completion_of(task.input)
