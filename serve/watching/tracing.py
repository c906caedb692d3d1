"""OpenTelemetry traces, where they are asked for: a span for each request, with the wait and the engine's part below.

Asked for means that OTEL_EXPORTER_OTLP_ENDPOINT (or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) is set; the SDK reads its other
variables itself. Otherwise nothing of OpenTelemetry is imported and a request costs four empty calls.

Names and attributes: https://opentelemetry.io/docs/specs/semconv/gen-ai/ (model spans) and W3C trace context.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from serve.watching.access_log import Entry

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/responses": "chat",
    "/v1/embeddings": "embeddings",
}
FLUSH_MILLISECONDS = 2000
"""For what is left at the end; a collector that is away must not hold the server up."""

Headers = Iterable[tuple[bytes, bytes]]


class Trace(Protocol):
    """One request's spans.

    Attributes:
        headers: for the engine: the W3C context of the part that it does.
    """

    headers: Mapping[str, str]

    def waits(self) -> None:
        """It is known what is asked for; from now on the request waits for its turn."""

    def computes(self) -> None:
        """The request has its turn."""

    def end(self, entry: Entry) -> None:
        """It is over, one way or another."""


class Tracing(Protocol):
    """Begins traces."""

    def begin(self, path: str, headers: Headers) -> Trace:
        """A request has come, with these headers."""

    def close(self) -> None:
        """Send what is left."""


def tracing(environment: Mapping[str, str]) -> Tracing:
    """What the environment asks for; without the packages for it one line is logged and nothing traced."""
    if not any(environment.get(name) for name in ENDPOINTS):
        return Untraced()
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        log.warning("Traces are asked for, but OpenTelemetry is not installed: pip install 'adaptory[otel]'")
        return Untraced()
    return Traced(OTLPSpanExporter())


class Untraced:
    """Traces nothing; is its own trace."""

    headers: Mapping[str, str] = {}

    def begin(self, path: str, headers: Headers) -> "Untraced":  # noqa: ARG002 - the protocol's
        """Nothing to do."""
        return self

    def close(self) -> None:
        """Nothing to do."""

    def waits(self) -> None:
        """Nothing to do."""

    def computes(self) -> None:
        """Nothing to do."""

    def end(self, entry: Entry) -> None:
        """Nothing to do."""


class Traced:
    """Traces everything that the SDK's sampler takes."""

    def __init__(self, exporter: "SpanExporter") -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = Resource({SERVICE_NAME: "adaptory"}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=Resource.create().merge(named), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))

    def begin(self, path: str, headers: Headers) -> "RequestTrace":
        """Continue the client's trace, where it sent a ``traceparent``."""
        return RequestTrace(self._provider, path, headers)

    def close(self) -> None:
        """Send what is left, for FLUSH_MILLISECONDS at most."""
        self._provider.force_flush(FLUSH_MILLISECONDS)
        self._provider.shutdown()


class RequestTrace:
    """A span of the request; below it one of the wait (``queue``) and one of the engine's part (``engine``)."""

    def __init__(self, provider: "TracerProvider", path: str, headers: Headers) -> None:
        from opentelemetry.trace import SpanKind
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self.headers: Mapping[str, str] = {}
        self._propagator = TraceContextTextMapPropagator()
        self._tracer = provider.get_tracer("adaptory")
        self._operation = OPERATIONS.get(path, path)
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
        self._request = self._tracer.start_span(
            self._operation,
            self._propagator.extract(carrier),
            SpanKind.SERVER,
            {"gen_ai.operation.name": self._operation, "gen_ai.provider.name": "adaptory", "url.path": path},
        )
        self._part: Span | None = None

    def waits(self) -> None:
        """Begin the span ``queue``; again where another version is asked in the first one's stead."""
        from opentelemetry.trace import set_span_in_context

        self._end_part()
        self._part = self._tracer.start_span("queue", set_span_in_context(self._request))

    def computes(self) -> None:
        """End ``queue``, begin ``engine``, and have its context at hand for the engine."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        self._end_part()
        self._part = self._tracer.start_span("engine", set_span_in_context(self._request), SpanKind.CLIENT)
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(self._part))
        self.headers = carrier

    def end(self, entry: Entry) -> None:
        """End every span, and say what the access log says."""
        from opentelemetry.trace import Status, StatusCode

        self._end_part()
        span = self._request
        span.update_name(f"{self._operation} {entry.model}".strip())
        span.set_attributes(_attributes(entry))
        if entry.status >= 400:
            span.set_attribute("error.type", str(entry.status))
            span.set_status(Status(StatusCode.ERROR if entry.status >= 500 else StatusCode.UNSET))
        span.end()

    def _end_part(self) -> None:
        part, self._part = self._part, None
        if part:
            part.end()


def _attributes(entry: Entry) -> dict[str, str | int | float | bool]:
    attributes: dict[str, str | int | float | bool | None] = {
        "gen_ai.request.model": entry.model or None,
        "gen_ai.response.model": entry.version or None,
        "gen_ai.usage.input_tokens": entry.tokens_in,
        "gen_ai.usage.output_tokens": entry.tokens_out,
        "adaptory.time_to_first_token": entry.ttft if entry.stream else None,
        "http.response.status_code": entry.status,
        "adaptory.digest": entry.digest or None,
        "adaptory.engine": entry.engine,
        "adaptory.request_id": entry.request_id,
        "gen_ai.request.stream": entry.stream,
    }
    return {name: value for name, value in attributes.items() if value is not None}
