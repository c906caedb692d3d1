import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from serve.watching.access_log import Entry
from serve.watching.tracing import Tracing, tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ENTRY = Entry("id-1", "/v1/chat/completions", model="demo", version="demo:3", digest="sha256:ab", status=200,
              stream=True, tokens_in=7, tokens_out=11, ttft=0.25)  # fmt: skip


class Collector(HTTPServer):
    """What an OpenTelemetry collector is to a client: it takes spans by HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Collecting)
        self.bodies: list[bytes] = []

    def spans(self) -> dict[str, Span]:
        """Every span, by name."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        scopes = [
            scope for request in requests for resource in request.resource_spans for scope in resource.scope_spans
        ]
        return {span.name: span for scope in scopes for span in scope.spans}


class Collecting(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Collector)
        assert self.path == "/v1/traces"
        self.server.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def traced(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Tracing:
    url = f"http://127.0.0.1:{collector.server_port}"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)  # the SDK reads it itself
    return tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": url})


def attributes(span: Span) -> dict[str, object]:
    values = {pair.key: pair.value for pair in span.attributes}
    return {key: getattr(value, value.WhichOneof("value") or "") for key, value in values.items()}


def test_a_request_is_a_span_with_its_wait_and_the_engine_below(traced: Tracing, collector: Collector) -> None:
    trace = traced.begin("/v1/chat/completions", [(b"host", b"here"), (b"traceparent", PARENT.encode())])
    trace.waits()
    trace.computes()
    trace.end(ENTRY)
    traced.close()
    spans = collector.spans()
    request, queue, engine = spans["chat demo"], spans["queue"], spans["engine"]
    assert request.trace_id.hex() == PARENT.split("-")[1] == trace.headers["traceparent"].split("-")[1]
    assert request.parent_span_id.hex() == PARENT.split("-")[2]
    assert queue.parent_span_id == engine.parent_span_id == request.span_id
    assert trace.headers["traceparent"].split("-")[2] == engine.span_id.hex()
    found = attributes(request)
    assert (found["gen_ai.operation.name"], found["gen_ai.request.model"]) == ("chat", "demo")
    assert (found["gen_ai.response.model"], found["adaptory.digest"]) == ("demo:3", "sha256:ab")
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (7, 11)
    assert b"adaptory" in collector.bodies[0]


def test_a_request_that_never_got_its_turn_ends_too(traced: Tracing, collector: Collector) -> None:
    trace = traced.begin("/v1/completions", [(b"traceparent", b"\xff nonsense")])
    trace.waits()
    trace.end(Entry("id-2", "/v1/completions", model="demo", status=503))
    traced.close()
    spans = collector.spans()
    assert set(spans) == {"queue", "text_completion demo"}
    assert attributes(spans["text_completion demo"])["error.type"] == "503"
    assert trace.headers == {}


def test_nothing_is_imported_where_no_traces_are_asked_for() -> None:
    program = (
        "import sys, serve.watching.tracing as t; t.tracing({}).begin('/', []); print('opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_missing_packages_are_one_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with caplog.at_level(logging.WARNING):
        off = tracing({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    assert "pip install 'adaptory[otel]'" in caplog.text
    assert off.begin("/", []).headers == {}
