"""The example's service: it serves, it measures, and a slow release is slow."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "oncall"
sys.path.insert(0, str(FOLDER))

import checkout  # noqa: E402
import prometheus  # noqa: E402


@contextmanager
def serving(name: str = "v1", latency: float = 0.0) -> Iterator[checkout.Checkout]:
    server = checkout.Checkout(("127.0.0.1", 0), checkout.Release(name=name, pricing_latency=latency))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def get(server: checkout.Checkout, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_it_answers_and_counts_what_it_answered() -> None:
    with serving() as server:
        status, body = get(server, "/")
        missing, _ = get(server, "/nothing")
        _, text = get(server, "/metrics")
        assert get(server, "/healthz") == (200, "ok\n")
    assert (status, json.loads(body)) == (200, {"service": "checkout", "release": "v1", "total": "41.00"})
    assert missing == 404
    seen = prometheus.parse(text)
    assert (seen.release, seen.requests, seen.total) == ("v1", {"200": 1.0, "404": 1.0}, 2.0)


def test_a_slow_release_shows_in_its_own_histogram() -> None:
    with serving("v2", latency=0.06) as server:
        get(server, "/")
        get(server, "/")
        _, text = get(server, "/metrics")
    p50 = prometheus.quantile(prometheus.parse(text), 0.5)
    assert p50 is not None
    assert p50 > 0.05


def test_the_background_load_makes_real_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    with serving() as server:
        counted = threading.Event()
        observe = server.metrics.observe

        def observed(code: int, seconds: float) -> None:
            observe(code, seconds)
            counted.set()

        monkeypatch.setattr(server.metrics, "observe", observed)
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        load = threading.Thread(target=checkout.keep_busy, args=(url, 0.001, stop))
        load.start()
        assert counted.wait(5)
        stop.set()
        load.join()


def test_the_release_is_read_from_the_environment() -> None:
    slow = checkout.release_of({"RELEASE": "v2", "PRICING_LATENCY_MS": "400"})
    assert (slow.name, slow.pricing_latency) == ("v2", 0.4)
    assert checkout.release_of({}).pricing_latency == 0.005
    with pytest.raises(ValueError, match=r"^PRICING_LATENCY_MS is 'slow', not a number of milliseconds$"):
        checkout.release_of({"PRICING_LATENCY_MS": "slow"})
