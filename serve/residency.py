"""Residency: which adapters are on this disk and in the engine's memory, and who uses them."""

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from registry.errors import Corrupted
from registry.version import AdapterVersion
from serve.errors import AdapterRefused, EngineAway

log = logging.getLogger(__name__)


class AdapterEngine(Protocol):
    """What residency needs of an engine."""

    async def load(self, name: str, folder: Path) -> None:
        """Make a folder callable."""

    async def unload(self, name: str) -> None:
        """Forget a name."""


@dataclass(slots=True)
class Resident:
    """An adapter that the engine can name.

    Attributes:
        users: requests that compute with it now.
        used: when the last one ended, monotonic seconds.
    """

    version: AdapterVersion
    users: int
    used: float


def engine_name(digest: str) -> str:
    """What the engine calls a version: its digest, with a dash, so that it is no path and no reference."""
    return digest.replace(":", "-")


EngineT = TypeVar("EngineT", bound=AdapterEngine)


class Residency(Generic[EngineT]):
    """Pulls, verifies, loads, probes and unloads adapters.

    Every digest has a folder of its own below ``cache``, which is never changed and is removed only while the engine
    cannot name it: vLLM reads it again inside a model step when its own host tier was too small, and a missing file
    there ends the whole engine (0.32).

    At most ``limit`` adapters are loaded; ``use`` unloads the one that has been idle for longest. The caller keeps
    fewer than ``limit`` in use at once (the scheduler's slots), so there is always one to unload.
    """

    def __init__(
        self,
        *,
        cache: Path,
        limit: int,
        pull: Callable[[AdapterVersion, Path], None],
        probe: Callable[[EngineT, str], Coroutine[Any, Any, None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cache = cache
        self._limit = limit
        self._pull = pull
        self._probe = probe
        self._clock = clock
        self._engine: EngineT | None = None
        self._residents: dict[str, Resident] = {}
        self._refused: dict[str, AdapterRefused] = {}
        self._work: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._one_load = asyncio.Lock()
        self.loads = 0
        self.evictions = 0

    @property
    def loaded(self) -> list[str]:
        """Digests of what the engine can name, least recently used first."""
        return sorted(self._residents, key=lambda digest: self._residents[digest].used)

    def attach(self, engine: EngineT) -> None:
        """A new engine is ready; it has no adapters."""
        self._engine = engine

    def detach(self) -> list[AdapterVersion]:
        """The engine has gone. Returns what it had, most recently used first, for loading it again."""
        had = [self._residents[digest].version for digest in reversed(self.loaded)]
        self._engine = None
        self._residents.clear()
        self._refused.clear()
        return had

    async def fetch(self, version: AdapterVersion) -> Path:
        """Have the version's files on this disk, verified; simultaneous calls share the work.

        Raises:
            Corrupted: the registry's copy is damaged.
        """
        if version.digest not in self._residents:
            await self._once("fetch", version, self._fetch)
        return self._folder(version)

    @contextlib.asynccontextmanager
    async def use(self, version: AdapterVersion) -> AsyncIterator[str]:
        """Have the adapter loaded and probed, and keep it so inside the context, which is given the engine's name.

        Raises:
            AdapterRefused: it cannot be served.
            EngineAway: there is no engine.
        """
        while version.digest not in self._residents:
            if refusal := self._refused.get(version.digest):
                raise AdapterRefused(refusal.message, refusal.hint)
            await self._once("load", version, self._load)
        resident = self._residents[version.digest]
        resident.users += 1
        try:
            yield engine_name(version.digest)
        finally:
            resident.users -= 1
            resident.used = self._clock()

    def forget(self, digest: str) -> None:
        """The engine turned out not to know it: the next use loads it again."""
        self._residents.pop(digest, None)

    def _folder(self, version: AdapterVersion) -> Path:
        return self._cache / version.digest.removeprefix("sha256:")

    async def _once(
        self, kind: str, version: AdapterVersion, work: Callable[[AdapterVersion], Coroutine[Any, Any, None]]
    ) -> None:
        """Join the work under way for this digest, or begin it; a caller that gives up does not stop the others."""
        key = (kind, version.digest)
        task = self._work.get(key)
        if task is None:
            task = self._work[key] = asyncio.create_task(work(version))
            task.add_done_callback(lambda done: self._finished(key, done))
        await asyncio.shield(task)

    def _finished(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        del self._work[key]
        if not task.cancelled() and (error := task.exception()):
            log.warning("%s of %s: %s", *key, error)

    async def _fetch(self, version: AdapterVersion) -> None:
        folder = self._folder(version)
        try:
            await asyncio.to_thread(_verify, version, folder)
        except Corrupted:
            if version.digest not in self._residents:
                await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            await asyncio.to_thread(self._pull, version, folder)

    async def _load(self, version: AdapterVersion) -> None:
        await self.fetch(version)
        async with self._one_load:
            engine = self._engine
            if engine is None:
                raise EngineAway("The engine is starting or was restarted.", "Try again in a few seconds.")
            await self._make_room(engine)
            name = engine_name(version.digest)
            try:
                await engine.unload(name)  # left from a load whose probe was interrupted
                await engine.load(name, self._folder(version))
                await self._probe(engine, name)
            except AdapterRefused as error:
                await engine.unload(name)
                self._refused[version.digest] = error
                raise
            if self._engine is not engine:
                raise EngineAway("The engine was restarted.", "Try again in a few seconds.")
            self.loads += 1
            self._residents[version.digest] = Resident(version, 0, self._clock())

    async def _make_room(self, engine: EngineT) -> None:
        while len(self._residents) >= self._limit:
            idle = [digest for digest in self.loaded if not self._residents[digest].users]
            if not idle:
                raise EngineAway("Every adapter that is loaded is in use.", "Try again in a few seconds.")
            del self._residents[idle[0]]
            self.evictions += 1
            await engine.unload(engine_name(idle[0]))


def _verify(version: AdapterVersion, folder: Path) -> None:
    """Prove that the folder holds the version's very files.

    Raises:
        Corrupted: it does not.
    """
    for entry in version.manifest.files:
        entry.verify(folder)
