"""The durable record: event types, the hash chain, large values, and times as the record writes them."""

from .chain import LedgerCorruptError, genesis, seal, verify
from .events import EventType
from .payloads import INLINE_BYTES, NO_PAYLOADS, Payloads, apart, join, named_in, split
from .times import epoch_ms, rfc3339

__all__ = [
    "INLINE_BYTES",
    "NO_PAYLOADS",
    "EventType",
    "LedgerCorruptError",
    "Payloads",
    "apart",
    "epoch_ms",
    "genesis",
    "join",
    "named_in",
    "rfc3339",
    "seal",
    "split",
    "verify",
]
