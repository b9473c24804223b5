"""The reference pages that `make generate` writes from the models, the registries and runs of the engine.

Each module makes one page. What a page says beside what it reads from the code stands in its module as
data; `tests/unit/test_reference.py` fails when a page or such data is not what the code says.
"""

from __future__ import annotations

from pathlib import Path

from . import errors, events, expressions, resources, task_types

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "reference"


def pages() -> dict[str, str]:
    """Each generated page by file name."""
    return {
        "resources.md": resources.page(),
        "task-types.md": task_types.page(),
        "events.md": events.page(),
        "errors.md": errors.page(),
        "expressions.md": expressions.page(),
    }
