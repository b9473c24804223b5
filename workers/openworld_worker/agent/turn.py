"""What every provider answers with: a proposal as it came, and what it consumed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from openworld_worker.wire import JsonObject


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One answer of a model."""

    proposal: Any
    """As it came: the operator judges its shape."""
    model: str
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0

    def usage(self, latency_ms: int) -> JsonObject:
        """The TaskResult's `usage`; `latency_ms` is the time to answer."""
        return {
            "model": self.model,
            "tokensIn": self.tokens_in,
            "tokensOut": self.tokens_out,
            "tokensCached": self.tokens_cached,
            "latencyMs": latency_ms,
        }


class Provider(Protocol):
    """A model, or what stands in for one."""

    def propose(self, context: JsonObject) -> Turn:
        """Answer one turn of the given context.

        Raises:
            TerminalError: Asking again cannot help.
        """
