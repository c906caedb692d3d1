"""A request through the real gateway: what /metrics, the trace and the engine get to know of it."""

from pathlib import Path

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.types import Receive, Scope, Send

from registry.base_model import BaseModel
from registry.store import Registry
from serve.watching.scrape import Interval, Scrape
from serve.watching.top import View
from serve.watching.tracing import Traced
from tests.unit.serve.conftest import Push
from tests.unit.serve.gateway_parts import Gateway, ask, gateway

EVENTS = (
    b'data: {"model":"tiny","choices":[{"text":"a"}]}\n\n',
    b'data: {"model":"tiny","choices":[{"text":"b"}]}\n\n',
    b'data: {"model":"tiny","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n',
)
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Engine:
    """Streams two tokens; keeps the headers that it was sent."""

    def __init__(self) -> None:
        self.headers: dict[bytes, bytes] = {}

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        self.headers = dict(scope["headers"])
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for event in EVENTS:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def test_a_stream_and_a_refusal_are_seen(registry: Registry, base: BaseModel, push: Push, tmp_path: Path) -> None:
    push("demo")
    engine, spans = Engine(), InMemorySpanExporter()

    async def story(opened: Gateway) -> tuple[str, str, list[dict[str, object]]]:
        before = (await ask(opened.app, "GET", "/metrics", [], b"")).body.decode()
        async with opened.with_engine(tmp_path, engine):
            body = b'{"model": "%s", "prompt": "x", "stream": true, "stream_options": {"include_usage": true}}'
            headers = [(b"traceparent", PARENT)]
            answered = await ask(opened.app, "POST", "/v1/completions", headers, body % base.name.encode())
            refused = await ask(opened.app, "POST", "/v1/completions", [], body % b"nobody:1")
            after = (await ask(opened.app, "GET", "/metrics", [], b"")).body.decode()
            models = (await ask(opened.app, "GET", "/v1/models", [], b"")).json["data"]
        assert (answered.status, refused.status) == (200, 404)
        return before, after, models

    with gateway(registry, base, tmp_path, keys=False) as opened:
        tracing = opened.replica.tracing = Traced(spans)
        before, after, models = opened.run(story(opened))
    tracing.close()
    scrape = Scrape.parse(after, 1.0)
    assert scrape.total("requests_total", adapter=base.name, status="200") == 1
    assert scrape.total("tokens_total", adapter=base.name, direction="in") == 3
    assert scrape.total("tokens_total", adapter=base.name, direction="out") == 2
    assert scrape.total("errors_total", code="model_not_found") == 1
    for name in ("time_to_first_token_seconds", "inter_token_seconds", "queue_seconds", "request_seconds"):
        assert scrape.total(f"{name}_count", adapter=base.name) == 1
    view = View.of(Interval(Scrape.parse(before, 0.0), scrape), models)
    assert (view.requests, view.tokens, view.errors, view.servable, view.ready) == (2, 2, 1, 1, True)
    assert {row.adapter for row in view.rows} == {base.name, "demo:1"}
    named = {span.name: span for span in spans.get_finished_spans()}
    assert set(named) == {f"text_completion {base.name}", "text_completion nobody:1", "queue", "engine"}
    context = named["engine"].context
    assert context
    assert engine.headers[b"traceparent"].decode() == f"00-{PARENT.decode()[3:35]}-{context.span_id:016x}-01"
