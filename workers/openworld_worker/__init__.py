"""What a person needs to write a worker for Openworld: `@tool`, `Context`, `Proposal`, `TerminalError`.

Standard library only, so that it fits into any image. It must not import the operator's packages: the
two sides share a contract (environment, task file, TaskResult), not code.
"""

from .context import Context
from .errors import TerminalError
from .proposal import Item, Proposal
from .tool import Effect, Report, tool

__all__ = ["Context", "Effect", "Item", "Proposal", "Report", "TerminalError", "tool"]
