"""Prometheus metrics, in a registry of their own, with label sets that cannot grow without end."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary, generate_latest

from serve.watching.access_log import Entry

MOST_ADAPTERS = 200
MOST_CODES = 40
IDLE_SECONDS = 3600.0
OTHER = "other"
PLACES = ("memory", "engine", "queue")

BRIEF = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
LONG = (0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
FIRST = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)


@dataclass(frozen=True, slots=True)
class Presence:
    """Where an adapter is at this moment.

    Attributes:
        memory: engines that have it loaded.
        engine: requests that compute.
        queue: requests that wait for a slot.
    """

    memory: int
    engine: int
    queue: int


class Metrics:
    """What the gateway counts. The label ``adapter`` is ``name:number``, the base's name, or empty where unknown.

    At most MOST_ADAPTERS adapters have series of their own; further ones are counted as ``other``. An adapter that has
    not been asked for IDLE_SECONDS gives its series up as soon as another needs the place, so that a server that runs
    for months shows the versions of today.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.registry = CollectorRegistry()
        self._clock = clock
        self._adapters: dict[str, float] = {}
        self._codes: set[str] = set()
        self._gauges: dict[str, Gauge] = {}
        self._requests = self._counter("requests", "Requests that ended, by HTTP status", "status")
        self._errors = self._counter("errors", "Errors that clients were told, by code", "code")
        self._tokens = self._counter("tokens", "Tokens of prompts (in) and answers (out)", "direction")
        self._first = self._histogram("time_to_first_token", "From a stream's request to its first bytes", FIRST)
        self._between = self._histogram("inter_token", "A streamed answer's mean time from token to token", BRIEF)
        self._queue = self._histogram("queue", "Time spent waiting for a slot", LONG)
        self._duration = self._histogram("request", "From a request's arrival to the end of its answer", LONG)
        self._load = Summary(
            "adaptory_load_seconds",
            "Loading an adapter into the engine, with its probe",
            ["adapter"],
            registry=self.registry,
        )
        self._evictions = self._counter("evictions", "Adapters that made room for another one in the engine's memory")
        self._swap = Histogram(
            "adaptory_swap_seconds",
            "From hearing that an alias moved until it answers with the new version",
            buckets=LONG,
            registry=self.registry,
        )
        self._presence = Gauge(
            "adaptory_adapter",
            "An adapter now: engines that have it in memory, requests that compute, requests in the queue",
            ["adapter", "where"],
            registry=self.registry,
        )
        self._release = Gauge(
            "adaptory_release",
            "A release under way: its weight, whether its candidate is ready, and what was counted of each version",
            ["alias", "arm", "what"],
            registry=self.registry,
        )
        self._by_adapter = (
            self._requests, self._errors, self._tokens, self._first, self._between, self._queue, self._duration,
            self._load, self._evictions,
        )  # fmt: skip

    def queued(self, adapter: str, seconds: float) -> None:
        """A request got its turn."""
        self._queue.labels(self._label(adapter)).observe(seconds)

    def first_token(self, adapter: str, seconds: float) -> None:
        """The first bytes of a streamed answer were sent."""
        self._first.labels(self._label(adapter)).observe(seconds)

    def failed(self, adapter: str, code: str) -> None:
        """A client was told of an error."""
        self._errors.labels(self._label(adapter), self._code(code)).inc()

    def ended(self, adapter: str, entry: Entry) -> None:
        """A request has ended, one way or another."""
        label = self._label(adapter)
        self._requests.labels(label, str(entry.status)).inc()
        self._tokens.labels(label, "in").inc(entry.tokens_in)
        self._tokens.labels(label, "out").inc(entry.tokens_out)
        if entry.status == 200:
            self._duration.labels(label).observe(entry.duration)
        if entry.stream and entry.ttft is not None and entry.tokens_out > 1:
            self._between.labels(label).observe((entry.duration - entry.ttft) / (entry.tokens_out - 1))

    def loaded(self, adapter: str, seconds: float) -> None:
        """An adapter was loaded and probed."""
        self._load.labels(self._label(adapter)).observe(seconds)

    def evicted(self, adapter: str) -> None:
        """An adapter left the engine's memory."""
        self._evictions.labels(self._label(adapter)).inc()

    def swapped(self, seconds: float) -> None:
        """An alias answers with a new version, so long after its move was heard of."""
        self._swap.observe(seconds)

    def note(
        self,
        gauges: Mapping[str, float],
        by_engine: Mapping[str, Mapping[str, float]],
        present: Mapping[str, Presence],
    ) -> None:
        """Take down the server at this moment, before ``render``.

        Args:
            gauges: of the server, by name without the prefix ``adaptory_``.
            by_engine: of each engine, by its number; the label ``engine``. A server has a fixed number of them.
            present: adapters that are loaded, computing or waited for, by label.
        """
        for name, value in gauges.items():
            self._gauge(name).set(value)
        for engine, own in by_engine.items():
            for name, value in own.items():
                self._gauge(name, "engine").labels(engine).set(value)
        self._presence.clear()
        for adapter, presence in present.items():
            label = adapter if adapter in self._adapters else self._label(adapter)  # being there is no use
            for place in PLACES:
                self._presence.labels(label, place).inc(getattr(presence, place))

    def note_releases(self, released: Mapping[tuple[str, str], Mapping[str, float]]) -> None:
        """Take down the releases that are under way: alias and arm -> values by name. Those that ended are gone."""
        self._release.clear()
        for (alias, arm), values in released.items():
            for what, value in values.items():
                self._release.labels(alias, arm, what).set(value)

    def render(self) -> bytes:
        """The text form; a full one takes a tenth of a second, so call it beside the event loop."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, *labels: str) -> Gauge:
        if name not in self._gauges:
            text = f"Now: {name}".replace("_", " ")
            self._gauges[name] = Gauge(f"adaptory_{name}", text, labels, registry=self.registry)
        return self._gauges[name]

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"adaptory_{name}", text, ["adapter", *labels], registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"adaptory_{name}_seconds", text, ["adapter"], buckets=buckets, registry=self.registry)

    def _label(self, adapter: str) -> str:
        now = self._clock()
        if adapter not in self._adapters and len(self._adapters) >= MOST_ADAPTERS:
            oldest, used = next(iter(self._adapters.items()))
            if now - used < IDLE_SECONDS:
                return OTHER
            del self._adapters[oldest]
            for metric in self._by_adapter:
                metric.remove_by_labels({"adapter": oldest})
        self._adapters.pop(adapter, None)
        self._adapters[adapter] = now  # the dictionary is in order of use
        return adapter

    def _code(self, code: str) -> str:
        if code not in self._codes and len(self._codes) >= MOST_CODES:
            return OTHER
        self._codes.add(code)
        return code
