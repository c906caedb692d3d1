"""Suspects: versions that were being loaded when an engine ended; none may take one engine down after the other."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from registry.version import AdapterVersion
from serve.errors import AdapterRefused, EngineLost

MOST_ENDS = 2
"""So often a version is loaded into an engine that ends over it: once may have had another cause."""

ARREST_SECONDS = 600.0
"""For so long it is refused then, and twice as long after each further end: both ends may have had another cause."""


@dataclass(slots=True)
class Suspect:
    """A version that was being loaded when engines ended.

    Attributes:
        ends: which engine, and how often it had been started again by then.
        last: when the last of them ended, seconds.
    """

    ends: set[tuple[int, int]] = field(default_factory=set)
    last: float = 0.0

    def refused(self, now: float) -> bool:
        """Whether it is not loaded at present."""
        beyond = len(self.ends) - MOST_ENDS
        return beyond >= 0 and now < self.last + ARREST_SECONDS * 2**beyond


class Suspects:
    """Remembers them until they have been loaded somewhere; there are as many as engines have ended, at most."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._suspects: dict[str, Suspect] = {}
        self._clock = clock

    @contextlib.contextmanager
    def watched(self, version: AdapterVersion, engine: int, restarts: int) -> Iterator[None]:
        """Load the version in an engine that was started again so often.

        Raises:
            AdapterRefused: engines have ended over it MOST_ENDS times, the last time not long ago.
        """
        suspect = self._suspects.get(version.digest)
        if suspect and suspect.refused(self._clock()):
            raise AdapterRefused(
                f"{version} is not loaded again: the engine ended {len(suspect.ends)} times when it was."
            )
        try:
            yield
        except EngineLost:
            suspect = self._suspects.setdefault(version.digest, Suspect())
            suspect.ends.add((engine, restarts))
            suspect.last = self._clock()
            raise
        self._suspects.pop(version.digest, None)

    def engine(self, digest: str) -> int | None:
        """The only engine that a suspect is tried in again: one that it has ended already."""
        suspect = self._suspects.get(digest)
        return next((engine for engine, _ in suspect.ends), None) if suspect else None
