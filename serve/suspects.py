"""Suspects: versions that were being loaded when an engine ended; none may take one engine down after the other."""

import contextlib
from collections.abc import Iterator

from registry.version import AdapterVersion
from serve.errors import AdapterRefused, EngineLost

MOST_ENDS = 2
"""So often a version is loaded into an engine that ends over it: once may have had another cause."""


class Suspects:
    """Remembers them until they have been loaded somewhere; there are as many as engines have ended, at most."""

    def __init__(self) -> None:
        self._ends: dict[str, set[tuple[int, int]]] = {}

    @contextlib.contextmanager
    def watched(self, version: AdapterVersion, engine: int, restarts: int) -> Iterator[None]:
        """Load the version, or find it loaded, in an engine that was started again so often.

        Raises:
            AdapterRefused: engines have ended over it MOST_ENDS times.
        """
        if len(self._ends.get(version.digest, ())) >= MOST_ENDS:
            raise AdapterRefused(f"{version} is not loaded again: the engine ended {MOST_ENDS} times when it was.")
        try:
            yield
        except EngineLost:
            self._ends.setdefault(version.digest, set()).add((engine, restarts))
            raise
        self._ends.pop(version.digest, None)

    def engine(self, digest: str) -> int | None:
        """The only engine that a suspect is tried in again: one that it has ended already."""
        return next((engine for engine, _ in self._ends.get(digest, ())), None)
