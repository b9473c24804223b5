"""What a guide shows as code, for tests that do what it says."""

from __future__ import annotations

import re
from pathlib import Path


def blocks(page: Path) -> list[str]:
    """The blocks of code of a page, in order."""
    found = re.findall(r"(?:^    .*\n(?:\n(?=    ))?)+", page.read_text(), re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]
