"""Conductor's workflow and task definitions as Workflow and ToolCatalog objects.

Pure functions of values. What has no counterpart is reported with its place, never dropped in silence, and
nothing is made up: a task without a definition gets no tool. Source of the fields and their defaults:
Conductor OSS 3.32.
"""

from .importing import Imported, import_definitions
from .losses import Loss, NotADefinition, Place, Severity
from .shapes import Definition, Shape, definitions_in

__all__ = [
    "Definition",
    "Imported",
    "Loss",
    "NotADefinition",
    "Place",
    "Severity",
    "Shape",
    "definitions_in",
    "import_definitions",
]
