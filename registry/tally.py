"""Tally: what was counted of many answers, in a form that is small and can be added up over servers."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from registry.errors import InvalidInput
from registry.refs import shown

STEPS = 8
"""Buckets for each doubling of a positive value: a bucket's value is off by 4.4 % at most."""

SMALLEST, LARGEST = 1e-6, 1e12
NATS = 0.02
"""Width of a bucket of log-probabilities."""

CURRENT, CANDIDATE, PAIRS = "current", "candidate", "pairs"
"""What tallies are kept of: answers of the two versions, and questions that both were asked."""

COUNTS = {
    "requests": "answers, and failures that are not the client's fault",
    "errors": "failures that are not the client's fault",
    "asked": "answers to requests that demanded JSON",
    "asked_json": "of these, those that were JSON",
    "free": "answers to requests that did not",
    "free_json": "of these, those that were JSON all the same",
    "copies": "questions that the candidate was to answer as well",
    "dropped": "of these, those that were not asked because the server was busy",
    "both": "of these, those that both versions answered",
    "same": "of these, those with the same text",
    "json_lost": "of these, those that were JSON from the current version alone",
    "json_won": "of these, those that were JSON from the candidate alone",
}
LOGARITHMIC = {
    "first": "seconds in the engine to a stream's first bytes",
    "seconds": "seconds in the engine",
    "length": "characters of the answer",
    "length_ratio": "candidate's length by the current version's",
    "seconds_ratio": "candidate's seconds by the current version's",
}
LINEAR = {
    "logprob": "mean log-probability of the answer's tokens, nats, where the client asked for them",
    "logprob_change": "the candidate's less the current version's",
}
MOST_NATS = 40.0
MOST = 2**53
MOST_BUCKETS = 4000
"""2 ** (4000 / 8), twice in a product, is still a number."""


@dataclass(slots=True)
class Tally:
    """Counts, and histograms as bucket -> how many; names as in COUNTS, LOGARITHMIC and LINEAR.

    Raises:
        InvalidInput: another name, or a number out of bounds.
    """

    counts: dict[str, int] = field(default_factory=dict)
    histograms: dict[str, dict[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = self.counts.keys() - COUNTS.keys() | self.histograms.keys() - LOGARITHMIC.keys() - LINEAR.keys()
        if unknown:
            raise InvalidInput(f"Nothing that is counted is called {shown(min(unknown))}.")
        numbers = chain(self.counts.values(), *(buckets.values() for buckets in self.histograms.values()))
        if not all(map(_is_count, numbers)):
            raise InvalidInput(f"A count is a whole number from 0 to {MOST}.")
        if any(abs(bucket) > MOST_BUCKETS for buckets in self.histograms.values() for bucket in buckets):
            raise InvalidInput(f"A bucket is a whole number from {-MOST_BUCKETS} to {MOST_BUCKETS}.")

    def __bool__(self) -> bool:
        return bool(self.counts or self.histograms)

    def __getitem__(self, name: str) -> int:
        """A count; 0 where nothing was counted."""
        return self.counts.get(name, 0)

    def count(self, name: str, by: int = 1) -> None:
        """Count something."""
        self.counts[name] = self.counts.get(name, 0) + by

    def observe(self, name: str, value: float) -> None:
        """Take a value down; one that is no number is left out."""
        if not math.isfinite(value):
            return
        if name in LINEAR:
            bucket = round(max(-MOST_NATS, min(MOST_NATS, value)) / NATS)
        else:
            bucket = round(STEPS * math.log2(min(max(value, SMALLEST), LARGEST)))
        self._put(name, bucket, 1)

    def add(self, other: "Tally") -> None:
        """Take in another one."""
        for name, number in other.counts.items():
            self.count(name, number)
        for name, buckets in other.histograms.items():
            for bucket, number in buckets.items():
                self._put(name, bucket, number)

    def observed(self, name: str) -> int:
        """How many values were taken down."""
        return sum(self.histograms.get(name, {}).values())

    def moments(self, name: str) -> tuple[float, float]:
        """Mean and variance, in natural logarithms for what is in LOGARITHMIC, else in nats; of one value at least."""
        unit = NATS if name in LINEAR else math.log(2) / STEPS
        buckets, number = self.histograms[name], self.observed(name)
        mean = sum(bucket * many for bucket, many in buckets.items()) / number
        square = sum((bucket - mean) ** 2 * many for bucket, many in buckets.items()) / max(1, number - 1)
        return mean * unit, (square + 1 / 12) * unit**2  # 1/12: where in its bucket a value lies is not known

    def quantile(self, name: str, share: float) -> float | None:
        """The value below which this share of them lies, or None where there is none."""
        left = share * self.observed(name)
        for bucket, many in sorted(self.histograms.get(name, {}).items()):
            left -= many
            if left <= 0:
                return bucket * NATS if name in LINEAR else 2 ** (bucket / STEPS)
        return None

    def to_json(self) -> dict[str, Any]:
        """The form that is stored and sent."""
        return {"counts": self.counts, "histograms": self.histograms}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Tally":
        """Inverse of ``to_json``, also of what went through JSON, where a bucket's name is a string."""
        histograms = {
            name: {int(bucket): number for bucket, number in buckets.items()}
            for name, buckets in document["histograms"].items()
        }
        return cls(dict(document["counts"]), histograms)

    def _put(self, name: str, bucket: int, number: int) -> None:
        buckets = self.histograms.setdefault(name, {})
        buckets[bucket] = buckets.get(bucket, 0) + number


def added(tallies: Iterator[Tally]) -> Tally:
    """All of them in one."""
    total = Tally()
    for tally in tallies:
        total.add(tally)
    return total


def _is_count(number: object) -> bool:
    return isinstance(number, int) and 0 <= number <= MOST
