"""A namespace in memory around the real engine: what a cluster would do, without one.

Executions, their children and what they start; definitions; a clock that moves only when it is told
to. It decides nothing itself: every decision is the engine's, every verdict governance's. It does no
I/O, so the same calls always give the same ledgers.
"""

from .acting import Actor, NoOutcomeError
from .cases import PolicyCase
from .definitions import Definitions
from .executions import Origin, SimulatedExecution
from .junit import junit
from .namespace import DivergedError, Namespace, NeverSettlesError
from .replay import given_workflow, replay
from .script import Outcome, Script, ScriptedSignal
from .verdicts import Bench, MissingDefinitionError

__all__ = [
    "Actor",
    "Bench",
    "Definitions",
    "DivergedError",
    "MissingDefinitionError",
    "Namespace",
    "NeverSettlesError",
    "NoOutcomeError",
    "Origin",
    "Outcome",
    "PolicyCase",
    "Script",
    "ScriptedSignal",
    "SimulatedExecution",
    "given_workflow",
    "junit",
    "replay",
]
