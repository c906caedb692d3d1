"""The judge: whether a candidate has crossed a limit of its release, beyond doubt.

Every rule asks for certainty of 99.9 % (``registry.bounds``) and for ``min_requests`` samples of each version that it
compares. It looks at everything since the start, and at the last WINDOW_MINUTES alone, so that a fault that comes late
is not hidden by hours of good answers. It looks again with each report of a server, so the chance of a false alarm in a
whole release is higher than 0.1 %; ``docs/release.md`` has what was simulated.

- Errors: the lower bound of the candidate's rate (Wilson) is above the limit, and the rate is surely above the current
  version's (the lower bound of candidate - current, Newcombe, is above 0), where that has been asked at all: where the
  engine itself is ill, both fail, and the candidate is not to blame. While it is not surely worse, ``surely`` is 0.
- JSON: the share of answers in JSON has surely fallen (Newcombe) by more than the limit; requests that demanded JSON
  and requests that did not are judged apart.
- Latency: the geometric mean of the seconds in the engine (Welch, on logarithms, which one slow answer does not move
  far) is surely more than the limit's multiple; to a stream's first bytes and in all, without the time in the queue.
- Log-probability: the means of the answers' mean log-probabilities surely differ by more than the limit (Welch).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from registry.bounds import difference, drop, wilson
from registry.release import ReleaseLimits
from registry.tally import Tally

WINDOW_MINUTES = 15

RATES, SECONDS, NATS = "rate", "seconds", "nats"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule found.

    Attributes:
        what: is compared, in words.
        unit: of ``current`` and ``candidate``: ``rate``, ``seconds`` or ``nats``.
        current: the current version's rate, or median; None where there is none.
        candidate: the candidate's.
        samples: of the candidate.
        surely: the bound that is compared with ``limit``, or None while there are too few samples.
        limit: what it must not be above.
    """

    what: str
    unit: str
    current: float | None
    candidate: float | None
    samples: int
    surely: float | None
    limit: float

    @property
    def crossed(self) -> bool:
        """Whether the limit is crossed."""
        return self.surely is not None and self.surely > self.limit

    @property
    def verdict(self) -> str:
        """The same, as a sentence's part."""
        return (
            f"{self.what}: {self.shown(self.candidate)} in {self.samples} samples, current {self.shown(self.current)}; "
            f"surely above {self.surely:.3g}, limit {self.limit:.3g}"
        )

    def shown(self, value: float | None) -> str:
        """A value as people read it."""
        if value is None:
            return "-"
        return f"{value:.1%}" if self.unit == RATES else f"{value:.3g} {'s' if self.unit == SECONDS else 'nats'}"

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return asdict(self) | {"crossed": self.crossed}


def findings(current: Tally, candidate: Tally, limits: ReleaseLimits) -> Sequence[Finding]:
    """What every rule finds."""
    return [
        _errors(current, candidate, limits),
        _json("answers in JSON, where it was demanded", "asked", current, candidate, limits),
        _json("answers in JSON, where it was not demanded", "free", current, candidate, limits),
        _latency("time to first token", "first", current, candidate, limits),
        _latency("time in the engine", "seconds", current, candidate, limits),
        _logprob(current, candidate, limits),
    ]


def verdict(spans: Sequence[Mapping[str, Tally]], limits: ReleaseLimits) -> str:
    """Why the candidate has to go, or an empty string; each span has the tallies ``current`` and ``candidate``."""
    for finding in _all(spans, limits):
        if finding.crossed:
            return finding.verdict
    return ""


def _all(spans: Sequence[Mapping[str, Tally]], limits: ReleaseLimits) -> Iterator[Finding]:
    for span in spans:
        yield from findings(span["current"], span["candidate"], limits)


def _errors(current: Tally, candidate: Tally, limits: ReleaseLimits) -> Finding:
    number = candidate["requests"]
    surely = None
    if number >= limits.min_requests:
        before, after = ((tally["errors"], tally["requests"]) for tally in (current, candidate))
        worse = not current["requests"] or drop(after, before) > 0
        surely = wilson(*after)[0] if worse else 0.0
    return Finding(
        what="failed requests",
        unit=RATES,
        current=current["errors"] / current["requests"] if current["requests"] else None,
        candidate=candidate["errors"] / number if number else None,
        samples=number,
        surely=surely,
        limit=limits.error_rate,
    )


def _json(what: str, of: str, current: Tally, candidate: Tally, limits: ReleaseLimits) -> Finding:
    before, after = ((tally[f"{of}_json"], tally[of]) for tally in (current, candidate))
    enough = min(before[1], after[1]) >= limits.min_requests
    return Finding(
        what=what,
        unit=RATES,
        current=before[0] / before[1] if before[1] else None,
        candidate=after[0] / after[1] if after[1] else None,
        samples=after[1],
        surely=drop(before, after) if enough else None,
        limit=limits.format_drift,
    )


def _latency(what: str, of: str, current: Tally, candidate: Tally, limits: ReleaseLimits) -> Finding:
    bounds = _difference(of, current, candidate, limits)
    return Finding(
        what=what,
        unit=SECONDS,
        current=current.quantile(of, 0.5),
        candidate=candidate.quantile(of, 0.5),
        samples=candidate.observed(of),
        surely=math.exp(min(bounds[0], 50.0)) if bounds else None,
        limit=limits.latency_ratio,
    )


def _logprob(current: Tally, candidate: Tally, limits: ReleaseLimits) -> Finding:
    bounds = _difference("logprob", current, candidate, limits)
    return Finding(
        what="log-probability per token",
        unit=NATS,
        current=current.quantile("logprob", 0.5),
        candidate=candidate.quantile("logprob", 0.5),
        samples=candidate.observed("logprob"),
        surely=max(0.0, bounds[0], -bounds[1]) if bounds else None,
        limit=limits.logprob_drift,
    )


def _difference(of: str, current: Tally, candidate: Tally, limits: ReleaseLimits) -> tuple[float, float] | None:
    numbers = candidate.observed(of), current.observed(of)
    if min(numbers) < limits.min_requests:
        return None
    return difference((*candidate.moments(of), numbers[0]), (*current.moments(of), numbers[1]))
