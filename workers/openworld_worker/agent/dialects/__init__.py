"""What models say, in the words of their providers: read into one native proposal, and answered in kind.

Pure functions: no network, no clock, no state. Every dialect is a row of `DIALECTS`.
"""

from .feedback import results
from .reading import normalise
from .table import DIALECTS

__all__ = ["DIALECTS", "normalise", "results"]
