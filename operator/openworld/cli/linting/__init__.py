"""What `openworld lint` finds: each object judged by the operator's own code, then one against another."""

from __future__ import annotations

from .files import Linted, lint

__all__ = ["Linted", "lint"]
