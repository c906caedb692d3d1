"""Prometheus metrics, in a registry of their own, with label sets that cannot grow without end."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MOST_ADAPTERS = 200
OTHER = "other"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """What the gateway counts. The label ``adapter`` is ``name:number``, the base's name, or empty where unknown."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._adapters: set[str] = set()
        self._requests = Counter(
            "adaptory_requests", "Requests by adapter and HTTP status", ["adapter", "status"], registry=self.registry
        )
        self._tokens = Counter(
            "adaptory_tokens", "Tokens by adapter and direction", ["adapter", "direction"], registry=self.registry
        )
        self._first = Histogram(
            "adaptory_time_to_first_token_seconds",
            "From the request's arrival to the first bytes of its answer",
            ["adapter"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._queue = Histogram(
            "adaptory_queue_seconds",
            "Time spent waiting for a slot",
            ["adapter"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._state = Gauge("adaptory_state", "Counts of the moment", ["what"], registry=self.registry)

    def count(self, adapter: str, status: int, tokens_in: int, tokens_out: int) -> None:
        """A request has ended."""
        label = self._label(adapter)
        self._requests.labels(label, str(status)).inc()
        self._tokens.labels(label, "in").inc(tokens_in)
        self._tokens.labels(label, "out").inc(tokens_out)

    def first_token(self, adapter: str, seconds: float) -> None:
        """The first bytes of an answer were sent."""
        self._first.labels(self._label(adapter)).observe(seconds)

    def queued(self, adapter: str, seconds: float) -> None:
        """A request got its turn."""
        self._queue.labels(self._label(adapter)).observe(seconds)

    def render(self, state: dict[str, float]) -> bytes:
        """The text form; ``state`` holds the gauges of this moment."""
        for what, value in state.items():
            self._state.labels(what).set(value)
        return generate_latest(self.registry)

    def _label(self, adapter: str) -> str:
        if adapter not in self._adapters:
            if len(self._adapters) >= MOST_ADAPTERS:
                return OTHER
            self._adapters.add(adapter)
        return adapter
