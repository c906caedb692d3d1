"""Push and pull of large adapters, beside what the disk and SHA-256 allow."""

import shutil
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench import large_adapter
from bench.floor import floor, timed
from registry import console
from registry.pull_cache import PullCache
from registry.run_folder import WEIGHTS
from registry.store import Registry

WARM = 7


@dataclass(slots=True)
class Times:
    """Seconds of each adapter, in turn: floor, push, pull."""

    floor: list[float] = field(default_factory=list)
    push: list[float] = field(default_factory=list)
    pull: list[float] = field(default_factory=list)

    def ratio(self, of: str) -> float:
        """How fast a part is beside the floor, over the middle half of the adapters."""
        return middle(self.floor) / middle(getattr(self, of))


def middle(seconds: list[float]) -> float:
    """Mean of what is left without the fastest and the slowest quarter."""
    cut = len(seconds) // 4
    return statistics.fmean(sorted(seconds)[cut : len(seconds) - cut])


def push_and_pull(registry: Registry, folder: Path, work: Path, count: int, title: str, first: int = 0) -> Times:
    """Push and pull ``count`` adapters of other content each; floor, push and pull take turns at going first."""
    base, times, target = large_adapter.base(), Times(), work / "pulled"

    def push() -> None:
        registry.versions.push(folder, "bench", actor="bench", base=base)

    def pull() -> None:
        registry.versions.pull(registry.versions.get(f"bench:{number + 1}"), target)

    parts: list[tuple[list[float], Callable[[], float]]] = [
        (times.floor, lambda: floor(folder / WEIGHTS, work / "floor")),
        (times.push, lambda: timed(push)),
    ]
    with console.progress() as bar:
        for number in bar.track(range(first, first + count), description=title):
            large_adapter.vary(folder, number)
            for taken, part in parts if number % 2 else reversed(parts):
                taken.append(part())
            times.pull.append(timed(pull))
            shutil.rmtree(target)
    return times


def warm_pulls(registry: Registry, work: Path) -> float:
    """Median milliseconds of a pull of what was pulled before, the question to the registry included."""
    cache = PullCache(work / "cache")
    target = work / "linked"
    taken = []
    for _ in range(1 + WARM):

        def pull() -> None:
            version = registry.versions.get("bench:1")
            cache.pull(version, target, lambda folder: registry.versions.pull(version, folder))

        taken.append(timed(pull))
        shutil.rmtree(target)
    shutil.rmtree(work / "cache")
    return 1000 * statistics.median(taken[1:])
