"""What several modules of unit tests are given."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.linting import CATALOG, Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A folder to lint, with a catalog."""
    return Folder(tmp_path).write(catalog=CATALOG)
