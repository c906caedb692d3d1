"""Ledger: what was counted of answers, for the releases that are under way and, ahead of them, for every alias."""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from registry.release import Release
from registry.tally import CURRENT, Tally, added
from serve.release.said import Said

MINUTE = 60.0
MINUTES = 10
"""How far back a release that takes over at once is compared with what was before it."""

MOST_VERSIONS = 200


@dataclass(frozen=True, slots=True)
class Observed:
    """One request that was answered, or failed by no fault of its client.

    Attributes:
        alias: the adapter's name and the alias.
        digest: of the version that answered.
        release: id of the one that is under way, or an empty string.
        arm: what the version is to it, or None.
        failed: whether there was no answer.
        first: seconds in the engine to a stream's first bytes, or None.
        seconds: in the engine.
        said: what was answered, or None where that was not looked at.
        asked: whether JSON was demanded.
    """

    alias: tuple[str, str]
    digest: str
    release: str
    arm: str | None
    failed: bool
    first: float | None
    seconds: float
    said: Said | None
    asked: bool

    def tally(self) -> Tally:
        """The same, as counts."""
        tally = Tally()
        tally.count("requests")
        if self.failed:
            tally.count("errors")
            return tally
        tally.observe("seconds", self.seconds)
        if self.first is not None:
            tally.observe("first", self.first)
        if self.said:
            self.said.count(tally, asked=self.asked)
        return tally


class Ledger:
    """Counts in memory, bounded: the last MINUTES of MOST_VERSIONS versions, and the releases that are under way."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.totals: dict[str, dict[str, Tally]] = {}
        self._clock = clock
        self._recent: OrderedDict[tuple[str, str, str], deque[tuple[int, Tally]]] = OrderedDict()
        self._pending: dict[str, dict[str, Tally]] = {}

    def begin(self, release: Release) -> None:
        """A release is heard of. Where it leaves nothing to the old version, what that did just before is counted."""
        if release.id in self.totals:
            return
        self.totals[release.id], self._pending[release.id] = {}, {}
        before = self._recent.get((release.name, release.alias, release.current_digest))
        if release.plan.weight >= 1 and before:
            oldest = self._minute() - MINUTES
            self.add(release.id, CURRENT, added(tally for minute, tally in before if minute >= oldest))

    def end(self, release: str) -> None:
        """It is over."""
        self.totals.pop(release, None)
        self._pending.pop(release, None)

    def observe(self, seen: Observed) -> None:
        """Count one request."""
        tally = seen.tally()
        if seen.arm:
            self.add(seen.release, seen.arm, tally)
        key = (*seen.alias, seen.digest)
        minutes = self._recent.setdefault(key, deque(maxlen=MINUTES + 1))
        self._recent.move_to_end(key)
        if len(self._recent) > MOST_VERSIONS:
            self._recent.popitem(last=False)
        if not minutes or minutes[-1][0] != self._minute():
            minutes.append((self._minute(), Tally()))
        minutes[-1][1].add(tally)

    def add(self, release: str, arm: str, tally: Tally) -> None:
        """Count for a release; for one that is over, nothing."""
        for book in (self.totals, self._pending):
            if release in book:
                book[release].setdefault(arm, Tally()).add(tally)

    def take(self, release: str) -> Mapping[str, Tally]:
        """What has not been reported, which the caller does now."""
        taken = self._pending.get(release, {})
        if release in self._pending:
            self._pending[release] = {}
        return taken

    def _minute(self) -> int:
        return math.floor(self._clock() / MINUTE)
