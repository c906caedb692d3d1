"""What ``adaptory top`` shows: a server between two scrapes, and each of its adapters, as values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from serve.watching.scrape import Interval, Scrape

SHARES = (0.5, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One adapter, or the base.

    Attributes:
        adapter: ``name:number``, the base's name, or ``other``.
        aliases: that answer with it now.
        state: ``computing``, ``waiting``, ``loaded``, or ``-`` where it is only in the registry.
        engine: requests that compute.
        queue: requests that wait for a slot.
        requests: ended per second.
        tokens: of answers, per second.
        first_p50: median seconds to a stream's first token, None where there was none.
        first_p99: its 99th percentile.
        errors: that clients were told, in the interval.
    """

    adapter: str
    aliases: tuple[str, ...]
    state: str
    engine: int
    queue: int
    requests: float
    tokens: float
    first_p50: float | None
    first_p99: float | None
    errors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRow:
    """One engine.

    Attributes:
        engine: its number.
        ready: whether it answers.
        restarts: how often it was started again.
        inside: requests that wait or compute there.
        waiting: of these, those that wait.
        slots: adapters that can compute there at once.
        slots_taken: that do, or could go on.
        loaded: adapters in its memory.
    """

    engine: str
    ready: bool
    restarts: int
    inside: int
    waiting: int
    slots: int
    slots_taken: int
    loaded: int


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The server over an interval.

    Attributes:
        seconds: the interval's length.
        ready: whether an engine answers.
        restarts: of the engines.
        registry_stale: whether the registry does not answer the server.
        requests: ended per second.
        tokens: of answers, per second.
        inside: requests that wait or compute.
        waiting: of these, those that wait for a slot.
        slots: adapters that can compute at once.
        slots_taken: that do, or could go on.
        loaded: adapters in the engines' memory, each copy of one.
        servable: versions that can be named.
        errors: that clients were told, in the interval.
        failures: alias -> why it does not answer with the version that it should.
        rows: busiest first.
        engines: by number.
    """

    seconds: float
    ready: bool
    restarts: int
    registry_stale: bool
    requests: float
    tokens: float
    inside: int
    waiting: int
    slots: int
    slots_taken: int
    loaded: int
    servable: int
    errors: int
    failures: Mapping[str, str]
    rows: Sequence[Row]
    engines: Sequence[EngineRow]

    @classmethod
    def of(cls, interval: Interval, models: Sequence[Mapping[str, Any]]) -> "View":
        """Compute it.

        Args:
            interval: two scrapes.
            models: the entries of ``/v1/models``.
        """
        now = interval.after
        aliases: dict[str, list[str]] = {}
        for entry in models:
            if "@" in entry["id"]:
                ours = entry["adaptory"]
                aliases.setdefault(ours["version"], []).append(ours["alias"])
                if release := ours.get("release"):
                    told = f"{ours['alias']} {release['kind']} {release['weight']:.0%}"
                    aliases.setdefault(release["candidate"], []).append(told)
        rows = [_row(interval, adapter, tuple(aliases.get(adapter, ()))) for adapter in _adapters(now, models)]
        return cls(
            seconds=interval.after.time - interval.before.time,
            ready=bool(now.total("engine_ready")),
            restarts=int(now.total("engine_restarts")),
            registry_stale=bool(now.total("registry_stale")),
            requests=interval.rate("requests_total"),
            tokens=interval.rate("tokens_total", direction="out"),
            inside=int(now.total("requests_inside")),
            waiting=int(now.total("requests_waiting")),
            slots=int(now.total("slots")),
            slots_taken=int(now.total("slots_taken")),
            loaded=int(now.total("adapters_loaded")),
            servable=int(now.total("versions_servable")),
            errors=int(interval.grown("errors_total")),
            failures={entry["id"]: entry["adaptory"]["failure"] for entry in models if "failure" in entry["adaptory"]},
            rows=sorted(rows, key=lambda row: (-row.engine - row.queue, -row.tokens, row.state, row.adapter)),
            engines=[_engine(now, engine) for engine in sorted(now.values("engine_ready", "engine"), key=int)],
        )

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return asdict(self)


def _adapters(scrape: Scrape, models: Sequence[Mapping[str, Any]]) -> set[str]:
    """Those that were ever asked for, and those that can be: by version, the base by its name."""
    return scrape.adapters() | {entry["adaptory"]["version"] or entry["id"] for entry in models}


def _engine(now: Scrape, engine: str) -> EngineRow:
    def gauge(name: str) -> int:
        return int(now.total(name, engine=engine))

    return EngineRow(
        engine=engine,
        ready=bool(gauge("engine_ready")),
        restarts=gauge("engine_restarts"),
        inside=gauge("requests_inside"),
        waiting=gauge("requests_waiting"),
        slots=gauge("slots"),
        slots_taken=gauge("slots_taken"),
        loaded=gauge("adapters_loaded"),
    )


def _row(interval: Interval, adapter: str, aliases: tuple[str, ...]) -> Row:
    now = interval.after
    place = {where: int(now.total("adapter", adapter=adapter, where=where)) for where in ("memory", "engine", "queue")}
    state = next((word for where, word in STATES.items() if place[where]), "-")
    median, high = interval.quantiles("time_to_first_token_seconds", SHARES, adapter=adapter)
    return Row(
        adapter=adapter,
        aliases=aliases,
        state=state,
        engine=place["engine"],
        queue=place["queue"],
        requests=interval.rate("requests_total", adapter=adapter),
        tokens=interval.rate("tokens_total", adapter=adapter, direction="out"),
        first_p50=median,
        first_p99=high,
        errors=int(interval.grown("errors_total", adapter=adapter)),
    )


STATES = {"engine": "computing", "queue": "waiting", "memory": "loaded"}
