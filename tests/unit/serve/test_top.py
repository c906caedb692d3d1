import io
import json
import os
import pty
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from serve.cli_top import top
from serve.watching.access_log import Entry
from serve.watching.metrics import FIRST, Metrics, Presence
from serve.watching.scrape import Interval, Scrape
from serve.watching.top import View
from serve.watching.top_screen import screen

ENGINE = {"engine_ready": 1.0, "requests_inside": 5, "requests_waiting": 2, "slots": 4, "slots_taken": 1,
          "adapters_loaded": 1}  # fmt: skip
MODELS = [
    {"id": "tiny", "adaptory": {"version": None, "alias": None}},
    {"id": "demo@prod", "adaptory": {"version": "demo:1", "alias": "prod", "failure": "demo:2 cannot be served: no."}},
    {"id": "demo", "adaptory": {"version": "demo:1", "alias": "prod"}},
    {"id": "demo:1", "adaptory": {"version": "demo:1", "alias": None}},
    {"id": "demo:2", "adaptory": {"version": "demo:2", "alias": None}},
]


def serve_requests(metrics: Metrics, adapter: str, firsts: list[float]) -> None:
    for first in firsts:
        metrics.first_token(adapter, first)
        metrics.ended(adapter, Entry("id", "/", status=200, stream=True, tokens_out=10, ttft=first, duration=first + 1))


def scrape(metrics: Metrics, time: float) -> Scrape:
    metrics.note({"versions_servable": 2}, {"0": ENGINE}, {"demo:1": Presence(1, 3, 2)})
    return Scrape.parse(metrics.render().decode(), time)


def two_seconds() -> Interval:
    metrics = Metrics()
    serve_requests(metrics, "demo:1", [100.0] * 50)  # before: not to be seen
    metrics.failed("demo:1", "queue_full")
    before = scrape(metrics, 10.0)
    serve_requests(metrics, "demo:1", [0.02] * 8)
    metrics.failed("demo:1", "queue_full")
    return Interval(before, scrape(metrics, 12.0))


def test_a_view_is_what_happened_between_two_scrapes() -> None:
    view = View.of(two_seconds(), MODELS)
    assert (view.requests, view.tokens, view.errors, view.slots_taken, view.waiting) == (4.0, 40.0, 1, 1, 2)
    busy = view.rows[0]
    assert (busy.adapter, busy.aliases, busy.state, busy.engine, busy.queue) == ("demo:1", ("prod",), "computing", 3, 2)
    assert (busy.requests, busy.tokens, busy.errors) == (4.0, 40.0, 1)
    assert busy.first_p50 is not None
    assert busy.first_p99 is not None
    assert 0.01 < busy.first_p50 < busy.first_p99 <= 0.025
    assert {row.adapter: row.state for row in view.rows} == {"demo:1": "computing", "demo:2": "-", "tiny": "-"}
    assert view.failures == {"demo@prod": "demo:2 cannot be served: no."}


def test_engines_are_told_apart() -> None:
    metrics = Metrics()
    away = ENGINE | {"engine_ready": 0.0, "engine_restarts": 1, "requests_inside": 0}
    metrics.note({}, {"0": ENGINE, "1": away, "10": ENGINE}, {})
    now = Scrape.parse(metrics.render().decode(), 1.0)
    view = View.of(Interval(now, now), MODELS)
    assert [(row.engine, row.ready, row.inside) for row in view.engines] == [("0", True, 5), ("1", False, 0),
                                                                            ("10", True, 5)]  # fmt: skip
    assert (view.ready, view.restarts, view.inside, view.slots) == (True, 1, 10, 12)
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(screen("http://here", view, "", 1, 120))
    text = console.export_text()
    assert "2 of 3 engines ready" in text
    assert "engine 1  away  0 inside, 2 waiting  slots 1/4  1 loaded  1 restarts" in text


def test_a_server_that_restarted_counts_from_nothing() -> None:
    interval = two_seconds()
    fresh = Metrics()
    serve_requests(fresh, "demo:1", [0.02])
    view = View.of(Interval(interval.after, scrape(fresh, 13.0)), MODELS)
    assert (view.requests, view.errors) == (1.0, 0)
    assert view.rows[0].first_p99 is not None
    assert view.rows[0].first_p99 < 1


@given(st.lists(st.floats(0.001, 100), min_size=1, max_size=50), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    metrics = Metrics()
    before = scrape(metrics, 0.0)
    for value in values:
        metrics.first_token("demo:1", value)
    (found,) = Interval(before, scrape(metrics, 1.0)).quantiles("time_to_first_token_seconds", [share])
    true = sorted(values)[max(0, -int(-share * len(values) // 1) - 1)]
    assert found is not None
    assert max((bound for bound in FIRST if bound < true), default=0.0) <= found
    assert found <= min(bound for bound in FIRST if bound >= true)


def test_the_screen_shows_the_busy_first_and_says_when_nobody_answers() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    view = View.of(two_seconds(), MODELS)
    console.print(screen("http://here", view, "", 1, 120))
    text = console.export_text()
    assert "engine ready" in text
    assert "demo:1" in text
    assert "and 2 more" in text
    assert "demo@prod: demo:2 cannot be served" in text
    console.print(screen("http://here", None, "refused", 1, 120))
    assert "http://here  does not answer, waiting for it\nrefused" in console.export_text()


@contextmanager
def answering(metrics: Metrics) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            serve_requests(metrics, "demo:1", [0.02])
            body = metrics.render() if self.path == "/metrics" else json.dumps({"data": MODELS}).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    metrics.note({"versions_servable": 2}, {"0": ENGINE}, {"demo:1": Presence(1, 3, 2)})
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_scripts_get_json_and_pipes_get_text() -> None:
    with answering(Metrics()) as url:
        done = CliRunner().invoke(top, ["--server", f"{url}/v1", "--once", "--json"])
        plain = CliRunner().invoke(top, ["--server", url])
    assert done.exit_code == plain.exit_code == 0, done.output + plain.output
    document = json.loads(done.stdout)
    assert document["ready"] is True
    assert document["requests"] > 0
    assert document["rows"][0]["adapter"] == "demo:1"
    assert "demo:1" in plain.stdout


@pytest.mark.parametrize("kind", ["nobody", "stranger"])
def test_a_server_that_is_none_is_one_red_line(kind: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    if kind == "nobody":
        done = CliRunner().invoke(top, ["--server", url, "--once"])
    else:
        with answering(Metrics()) as answered:
            MODELS.append({})
            done = CliRunner().invoke(top, ["--server", answered, "--once"])
            MODELS.pop()
    assert done.exit_code == 1
    assert "does not answer" in done.output
    assert "Traceback" not in done.output


def test_q_ends_the_live_view() -> None:
    ours, theirs = pty.openpty()
    with answering(Metrics()) as url:
        command = [str(Path(sys.executable).with_name("adaptory")), "top", "--server", url]
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        seen = b""
        while b"demo:1" not in seen:
            seen += os.read(ours, 1 << 16)
        os.write(ours, b"q")
        assert process.wait() == 0
    os.close(ours)
    assert b"\x1b[?1049h" in seen  # another screen, so that the terminal is as before afterwards
