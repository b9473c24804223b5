"""What `openworld policy test` judges, and how it tells what came out."""

from __future__ import annotations

from .given import Given, given, written
from .report import Report, Tested

__all__ = ["Given", "Report", "Tested", "given", "written"]
