"""Swaps: an alias answers with its new version only when that version has been loaded and probed."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from registry.errors import AdaptoryError, Unavailable
from registry.replica_status import FAILED, PREPARING, SERVING
from registry.version import AdapterVersion
from serve.catalogue import Catalogue

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class Swaps:
    """Makes the versions ready that aliases have moved to, one task for each alias, then flips.

    While a version is made ready, and when it cannot be, the old one answers. A request keeps the version that it
    began with, so a stream never mixes two. An alias that is new answers with its first version at once.

    Attributes:
        on_swapped: hears of each swap's seconds, from hearing of the move to the flip.
    """

    def __init__(
        self, catalogue: Catalogue, prepare: Callable[[AdapterVersion, AdapterVersion | None], Awaitable[None]]
    ) -> None:
        """``prepare`` makes a version ready to answer instead of the other one."""
        self.on_swapped: Callable[[float], None] = lambda _: None
        self._failures: dict[tuple[str, str], str] = {}
        self._failed: dict[tuple[str, str], str] = {}
        self._catalogue = catalogue
        self._prepare = prepare
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        catalogue.on_moved = self.moved

    def moved(self, name: str, alias: str, version: AdapterVersion) -> None:
        """The registry's alias points elsewhere than the one that serves, or is new."""
        key = (name, alias)
        if key in self._tasks or self._failed.get(key) == version.digest:
            return
        task = self._tasks[key] = asyncio.create_task(self._swap(name, alias, version))
        task.add_done_callback(lambda _: self._ended(key))

    def set_anew(self, name: str, alias: str, version: AdapterVersion) -> None:
        """Somebody has promoted or rolled back to this version: if it failed before, it is tried again."""
        self._failures.pop((name, alias), None)
        if self._failed.pop((name, alias), None) == version.digest:
            self.moved(name, alias, version)

    def failure(self, name: str, alias: str) -> str:
        """Why the alias does not answer with the version that it should, or an empty string."""
        return self._failures.get((name, alias), "")

    def state(self, name: str, alias: str) -> str:
        """How far the alias has followed the registry: ``serving``, ``preparing`` or ``failed``."""
        key = (name, alias)
        if key in self._failed:
            return FAILED
        there = self._catalogue.wanted(*key) == self._catalogue.serving.get(key)
        return SERVING if there and key not in self._tasks else PREPARING

    def retry_failed(self) -> None:
        """Another engine is there: what failed before may succeed."""
        failed, self._failed = self._failed, {}
        for key in failed:
            if version := self._catalogue.wanted(*key):
                self.moved(*key, version)

    def _ended(self, key: tuple[str, str]) -> None:
        del self._tasks[key]
        self._catalogue.revision += 1

    async def _swap(self, name: str, alias: str, version: AdapterVersion) -> None:
        key, began = (name, alias), time.monotonic()
        while self._catalogue.wanted(name, alias) == version:  # else the next look at the registry begins anew
            try:
                await self._prepare(version, self._catalogue.serving.get(key))
            except Unavailable as error:
                self._fail(key, f"{version} is not ready yet: {error.message}")
                await asyncio.sleep(RETRY_SECONDS)
                continue
            except AdaptoryError as error:
                if self._catalogue.wanted(name, alias) == version:
                    self._failed[key] = version.digest
                    self._fail(key, f"{version} cannot be served: {error.message}")
                    log.warning("%s@%s: %s", *key, self._failures[key])
                return
            if self._catalogue.wanted(name, alias) == version:
                self._failures.pop(key, None)
                self._catalogue.flip(name, alias, version)
                self.on_swapped(time.monotonic() - began)
                log.info("%s@%s now answers with %s.", name, alias, version)
            return

    def _fail(self, key: tuple[str, str], failure: str) -> None:
        self._failures[key] = failure
        self._catalogue.revision += 1
