"""The durable record: event types, the hash chain, and times as the record writes them."""

from .chain import LedgerCorruptError, genesis, seal, verify
from .events import EventType
from .times import epoch_ms, rfc3339

__all__ = ["EventType", "LedgerCorruptError", "epoch_ms", "genesis", "rfc3339", "seal", "verify"]
