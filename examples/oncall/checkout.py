"""A small real service for the on-call example: it answers, it measures itself, and one release is slow.

Standard library only. Environment: RELEASE (a name), PRICING_LATENCY_MS (how long the pricing client of this
release takes for each request), PORT, LOAD_INTERVAL_MS (pause between the requests of its own background
load; 0 means none).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""Upper bounds of the latency histogram, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Release:
    """What differs from one release to the next."""

    name: str
    pricing_latency: float
    """Seconds."""


@dataclass
class Metrics:
    """Request counts and a latency histogram, in Prometheus' text format."""

    release: str
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _by_code: dict[int, int] = field(default_factory=dict)
    _by_bucket: dict[float, int] = field(default_factory=lambda: dict.fromkeys((*BUCKETS, float("inf")), 0))
    _seconds: float = 0.0

    def observe(self, code: int, seconds: float) -> None:
        """Count one request."""
        with self._lock:
            self._by_code[code] = self._by_code.get(code, 0) + 1
            self._seconds += seconds
            for bound in self._by_bucket:
                if seconds <= bound:
                    self._by_bucket[bound] += 1

    def text(self) -> str:
        """The exposition."""
        with self._lock:
            name = "http_request_duration_seconds"
            lines = ["# TYPE app_info gauge", f'app_info{{release="{self.release}"}} 1']
            lines += ["# TYPE http_requests_total counter"]
            lines += [
                f'http_requests_total{{code="{code}"}} {n}' for code, n in sorted(self._by_code.items())
            ]
            lines += [f"# TYPE {name} histogram"]
            lines += [
                f'{name}_bucket{{le="{"+Inf" if bound == float("inf") else bound}"}} {n}'
                for bound, n in self._by_bucket.items()
            ]
            lines += [f"{name}_sum {self._seconds:.6f}", f"{name}_count {self._by_bucket[float('inf')]}"]
        return "\n".join(lines) + "\n"


class Checkout(ThreadingHTTPServer):
    """The service: `/` prices a basket, `/metrics` and `/healthz` are for machines."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], release: Release) -> None:
        super().__init__(address, Handler)
        self.release = release
        self.metrics = Metrics(release.name)


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    server: Checkout

    def do_GET(self) -> None:
        """Answer one request."""
        if self.path == "/healthz":
            return self._send(200, "text/plain", "ok\n")
        if self.path == "/metrics":
            return self._send(200, "text/plain; version=0.0.4", self.server.metrics.text())
        started = time.monotonic()
        if self.path != "/":
            self._send(404, "text/plain", "not found\n")
            return self.server.metrics.observe(404, time.monotonic() - started)
        time.sleep(self.server.release.pricing_latency)
        total = {"service": "checkout", "release": self.server.release.name, "total": "41.00"}
        # counted before it is sent: who has the answer finds it in the metrics
        self.server.metrics.observe(200, time.monotonic() - started)
        return self._send(200, "application/json", json.dumps(total) + "\n")

    def _send(self, code: int, content_type: str, text: str) -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Metrics say it; a line for each request of the background load would drown the log."""


def release_of(environ: Mapping[str, str]) -> Release:
    """The release that the environment describes.

    Raises:
        ValueError: PRICING_LATENCY_MS is not a number from 0.
    """
    latency = environ.get("PRICING_LATENCY_MS", "5")
    if not latency.isdecimal():
        raise ValueError(f"PRICING_LATENCY_MS is {latency!r}, not a number of milliseconds")
    return Release(name=environ.get("RELEASE", "dev"), pricing_latency=int(latency) / 1000)


def keep_busy(url: str, interval: float, stop: threading.Event) -> None:
    """A light load, one request at a time, so that the metrics are of real requests."""
    while not stop.wait(interval):
        try:
            urllib.request.urlopen(url, timeout=10).close()  # noqa: S310 - the service's own address
        except OSError as error:
            print(f"background load: {error}", file=sys.stderr)


def main(environ: Mapping[str, str]) -> None:
    """Serve until SIGTERM."""
    server = Checkout(("", int(environ.get("PORT", "8080"))), release_of(environ))
    stop = threading.Event()

    def shut_down(_signal: int, _frame: FrameType | None) -> None:
        stop.set()
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, shut_down)
    interval = int(environ.get("LOAD_INTERVAL_MS", "100")) / 1000
    if interval:
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        threading.Thread(target=keep_busy, args=(url, interval, stop), daemon=True).start()
    print(f"checkout {server.release.name} listens on {server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(os.environ)
