"""A scrape: what a server's ``/metrics`` said at one moment, and what changed between two of them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Series = list[tuple[dict[str, str], float]]
PREFIX = "adaptory_"


@dataclass(frozen=True, slots=True)
class Scrape:
    """One answer of ``/metrics``.

    Attributes:
        time: when it came, monotonic seconds.
        samples: name without the prefix ``adaptory_`` -> label ``adapter``, or "" -> each series' labels and value.
    """

    time: float
    samples: Mapping[str, Mapping[str, Series]]

    @classmethod
    def parse(cls, text: str, time: float) -> "Scrape":
        """Read the text form.

        Raises:
            ValueError: it is not Prometheus's.
        """
        samples: dict[str, dict[str, Series]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                by_adapter = samples.setdefault(sample.name.removeprefix(PREFIX), {})
                by_adapter.setdefault(sample.labels.get("adapter", ""), []).append((sample.labels, sample.value))
        return cls(time, samples)

    def adapters(self) -> set[str]:
        """Every value of the label ``adapter``, but the empty one."""
        return {adapter for by_adapter in self.samples.values() for adapter in by_adapter} - {""}

    def series(self, name: str, **labels: str) -> Series:
        """The series that have these labels, and perhaps more."""
        by_adapter = self.samples.get(name, {})
        near = [by_adapter.get(labels["adapter"], [])] if "adapter" in labels else by_adapter.values()
        wanted = labels.items()
        return [(have, value) for series in near for have, value in series if wanted <= have.items()]

    def values(self, name: str, label: str) -> set[str]:
        """The values of a label."""
        return {have[label] for have, _ in self.series(name) if label in have}

    def total(self, name: str, **labels: str) -> float:
        """The sum over these series."""
        return sum(value for _, value in self.series(name, **labels))

    def buckets(self, name: str, **labels: str) -> dict[float, float]:
        """A histogram's upper bounds -> counts at or below, summed over these series."""
        counts = defaultdict[float, float](float)
        for have, value in self.series(f"{name}_bucket", **labels):
            counts[float(have["le"])] += value
        return dict(sorted(counts.items()))


@dataclass(frozen=True, slots=True)
class Interval:
    """Two scrapes of one server, the older one first."""

    before: Scrape
    after: Scrape

    def grown(self, name: str, **labels: str) -> float:
        """By how much a counter grew; a counter that restarted counts from 0."""
        after = self.after.total(name, **labels)
        before = self.before.total(name, **labels)
        return after - before if after >= before else after

    def rate(self, name: str, **labels: str) -> float:
        """The same for each second."""
        seconds = self.after.time - self.before.time
        return self.grown(name, **labels) / seconds if seconds > 0 else 0.0

    def quantiles(self, name: str, shares: Iterable[float], **labels: str) -> list[float | None]:
        """Quantiles of what a histogram saw meanwhile, as Prometheus's ``histogram_quantile``; None: it saw nothing."""
        after, before = self.after.buckets(name, **labels), self.before.buckets(name, **labels)
        restarted = any(after[bound] < before.get(bound, 0.0) for bound in after)
        counts = after if restarted else {bound: count - before.get(bound, 0.0) for bound, count in after.items()}
        return [_quantile(counts, share) for share in shares]


def _quantile(counts: Mapping[float, float], share: float) -> float | None:
    """Linear within the bucket; the last finite bound where the quantile lies beyond it."""
    wanted = share * counts.get(math.inf, 0.0)
    low = below = 0.0
    for bound, count in counts.items():
        if wanted and count >= wanted:
            return low if bound == math.inf else low + (bound - low) * (wanted - below) / (count - below)
        low, below = bound, count
    return None
