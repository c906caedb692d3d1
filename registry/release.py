"""Release: a new version that takes over an alias step by step, under watch."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from registry.errors import InvalidInput
from registry.finite import prove_finite
from registry.times import from_text, now, to_text

CANARY, SHADOW, WATCH = "canary", "shadow", "watch"
"""How: a share of requests, copies of a share of requests, or all of them after the alias has moved."""

RUNNING, PROMOTED, STOPPED, ROLLED_BACK = "running", "promoted", "stopped", "rolled back"
"""States; only the first one changes. ``rolled back`` is the judge's work, ``stopped`` a person's or the clock's."""

PROMOTE, STOP = "promote", "stop"
MOST_TEXTS = 100
FEWEST_REQUESTS = 10
LONGEST_SECONDS = 366 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseLimits:
    """What a candidate may do; what lies beyond for certain ends the release (``registry.judge``).

    Attributes:
        error_rate: share of requests that fail, and not by the client's fault.
        latency_ratio: how many times the current version's seconds it may take.
        format_drift: how far its share of answers in JSON may lie below the current version's.
        logprob_drift: how far its mean log-probability may lie from the current version's, nats per token.
        min_requests: samples of each version before anything is decided, FEWEST_REQUESTS at least.
    """

    error_rate: float = 0.02
    latency_ratio: float = 1.5
    format_drift: float = 0.1
    logprob_drift: float = 0.5
    min_requests: int = 50

    def __post_init__(self) -> None:
        bounds = (self.error_rate, self.latency_ratio, self.format_drift, self.logprob_drift)
        prove_finite("A release's limit", *bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked of a release.

    Attributes:
        kind: ``canary``, ``shadow`` or ``watch``.
        weight: share of requests that the candidate answers, or of those that it is asked a copy of; 0 to 1.
        limits: what it may do.
        seconds: how long it runs, or None for until somebody ends it.
        then: ``promote`` or ``stop``: what happens after that time, if it has kept its limits.
        keep_texts: of a shadow, how many of the last pairs of answers are kept to read, at most MOST_TEXTS.
    """

    kind: str = CANARY
    weight: float = 0.1
    limits: ReleaseLimits = field(default_factory=ReleaseLimits)
    seconds: float | None = None
    then: str = STOP
    keep_texts: int = 0

    def __post_init__(self) -> None:
        self._prove(self.kind in {CANARY, SHADOW, WATCH}, f"A release is a {CANARY}, a {SHADOW} or a {WATCH}.")
        self._prove(0 <= self.weight <= 1, "A weight is a share, 0% to 100%.")
        self._prove(self.then in {PROMOTE, STOP}, f"What follows is {PROMOTE} or {STOP}.")
        self._prove(
            self.seconds is None or 0 < self.seconds <= LONGEST_SECONDS, "A release takes some time, a year at most."
        )
        self._prove(self.limits.min_requests >= FEWEST_REQUESTS, f"A judge needs {FEWEST_REQUESTS} requests at least.")
        self._prove(0 <= self.keep_texts <= MOST_TEXTS, f"At most {MOST_TEXTS} texts are kept.")

    @staticmethod
    def _prove(right: bool, message: str) -> None:
        if not right:
            raise InvalidInput(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release of an alias, as it is or as it ended.

    Attributes:
        id: 12 hex digits.
        name: the adapter's name.
        alias: ``prod``, ...
        current: number of the version that the alias named at the start, or, for a watch, just before.
        current_digest: that version's digest.
        candidate: number of the version that is to follow.
        candidate_digest: that version's digest.
        plan: what was asked.
        forced: whether the gate was overruled.
        actor: who started it.
        reason: why, in their words.
        started: UTC.
        state: ``running``, ``promoted``, ``stopped`` or ``rolled back``.
        ended: UTC, or None.
        verdict: why it ended, one line.
    """

    id: str
    name: str
    alias: str
    current: int
    current_digest: str
    candidate: int
    candidate_digest: str
    plan: Plan
    forced: bool
    actor: str
    reason: str
    started: datetime
    state: str = RUNNING
    ended: datetime | None = None
    verdict: str = ""

    def __str__(self) -> str:
        return f"the {self.plan.kind} {self.id} of {self.name}:{self.candidate}"

    @property
    def running(self) -> bool:
        """Whether it is under way."""
        return self.state == RUNNING

    def due(self, at: datetime) -> bool:
        """Whether it runs and its time is over."""
        seconds = self.plan.seconds
        return self.running and seconds is not None and at >= self.started + timedelta(seconds=seconds)

    def to_json(self) -> dict[str, Any]:
        """The form that is stored, sent and shown."""
        ended = to_text(self.ended) if self.ended else None
        return asdict(self) | {"started": to_text(self.started), "ended": ended}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Release":
        """Inverse of ``to_json``."""
        ended = from_text(document["ended"]) if document["ended"] else None
        plan = plan_of(document["plan"])
        return cls(**{**document, "started": from_text(document["started"]), "ended": ended, "plan": plan})


def plan_of(document: Mapping[str, Any]) -> Plan:
    """A plan from its JSON.

    Raises:
        InvalidInput: it cannot be followed.
    """
    return Plan(**{**document, "limits": ReleaseLimits(**document["limits"])})


def new_release(**fields: Any) -> Release:
    """One that starts now."""
    return Release(id=secrets.token_hex(6), started=now(), **fields)
