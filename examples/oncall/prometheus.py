"""Prometheus' text format, as far as the on-call tools need it: samples, a quantile, a difference.

Pure: no I/O. The quantile is `histogram_quantile`'s: linear within a bucket.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_SAMPLE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')
DURATION = "http_request_duration_seconds"


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """One scrape of a service."""

    release: str
    requests: dict[str, float]
    """Requests by status code, since the process started."""
    buckets: dict[float, float]
    """Cumulative counts by upper bound in seconds."""

    @property
    def total(self) -> float:
        """All requests in the histogram."""
        return max(self.buckets.values(), default=0.0)


def parse(text: str) -> Snapshot:
    """Read a scrape; lines that are no samples are passed over, as a scraper does."""
    release, requests, buckets = "", {}, {}
    for line in text.splitlines():
        match = _SAMPLE.match(line)
        if line.startswith("#") or not match:
            continue
        name, labels, value = match[1], dict(_LABEL.findall(match[2] or "")), float(match[3])
        if name == "app_info":
            release = labels.get("release", "")
        elif name == "http_requests_total":
            requests[labels.get("code", "")] = value
        elif name == f"{DURATION}_bucket":
            buckets[float(labels["le"])] = value
    return Snapshot(release=release, requests=requests, buckets=buckets)


def between(earlier: Snapshot, later: Snapshot) -> Snapshot:
    """What happened from one scrape to the next; after a restart in between, all that the new process did."""
    if later.total < earlier.total or later.release != earlier.release:
        return later
    return Snapshot(
        release=later.release,
        requests={code: n - earlier.requests.get(code, 0.0) for code, n in later.requests.items()},
        buckets={bound: n - earlier.buckets.get(bound, 0.0) for bound, n in later.buckets.items()},
    )


def quantile(snapshot: Snapshot, q: float) -> float | None:
    """The q-quantile in seconds; None when nothing was observed."""
    if not snapshot.total:
        return None
    rank, lower, below = q * snapshot.total, 0.0, 0.0
    for bound, count in sorted(snapshot.buckets.items()):
        if count >= rank:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * ((rank - below) / (count - below) if count > below else 0.0)
        lower, below = bound, count
    return lower


def error_rate(snapshot: Snapshot) -> float:
    """Share of requests that were answered with 5xx."""
    total = sum(snapshot.requests.values())
    return sum(n for code, n in snapshot.requests.items() if code.startswith("5")) / total if total else 0.0
