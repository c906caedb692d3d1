"""Swaps: an alias answers with its new version only when that version has been loaded and probed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from registry.errors import AdaptoryError, Unavailable
from registry.version import AdapterVersion
from serve.catalogue import Catalogue

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


class Swaps:
    """Makes the versions ready that aliases have moved to, one task for each alias, then flips.

    While a version is made ready, and when it cannot be, the old one answers. A request keeps the version that it
    began with, so a stream never mixes two.
    """

    def __init__(self, catalogue: Catalogue, prepare: Callable[[AdapterVersion], Awaitable[None]]) -> None:
        self.failures: dict[tuple[str, str], str] = {}
        self._failed: dict[tuple[str, str], str] = {}
        self._catalogue = catalogue
        self._prepare = prepare
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        catalogue.on_moved = self.moved

    def moved(self, name: str, alias: str, version: AdapterVersion) -> None:
        """The registry's alias points elsewhere than the one that serves."""
        key = (name, alias)
        if key in self._tasks or self._failed.get(key) == version.digest:
            return
        task = self._tasks[key] = asyncio.create_task(self._swap(name, alias, version))
        task.add_done_callback(lambda _: self._tasks.pop(key))

    def failure(self, name: str, alias: str) -> str:
        """Why the alias does not answer with the version that it should, or an empty string."""
        key = (name, alias)
        return self.failures.get(key, "") if self._catalogue.wanted(*key) != self._catalogue.serving.get(key) else ""

    def retry_failed(self) -> None:
        """Another engine runs: what failed before may succeed."""
        self._failed.clear()

    async def _swap(self, name: str, alias: str, version: AdapterVersion) -> None:
        key = (name, alias)
        try:
            await self._prepare(version)
        except Unavailable as error:
            self.failures[key] = f"{version} is not ready yet: {error.message}"
            await asyncio.sleep(RETRY_SECONDS)  # the next look at the registry tries again
        except AdaptoryError as error:
            self._failed[key] = version.digest
            self.failures[key] = f"{version} cannot be served: {error.message}"
            log.warning("%s@%s stays at %s: %s", name, alias, self._catalogue.serving.get(key), self.failures[key])
        else:
            self._failed.pop(key, None)
            self.failures.pop(key, None)
            if self._catalogue.wanted(name, alias) != version:
                return  # moved again meanwhile; the next look begins anew
            self._catalogue.flip(name, alias, version)
            log.info("%s@%s now answers with %s.", name, alias, version)
