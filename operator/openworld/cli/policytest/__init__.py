"""What `openworld policy test` judges, and how it tells what came out."""

from __future__ import annotations

from .given import Given, given, written
from .looked import nothing_judged
from .report import Report, Tested

__all__ = ["Given", "Report", "Tested", "given", "nothing_judged", "written"]
