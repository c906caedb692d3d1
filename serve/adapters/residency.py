"""Residency: which adapters are on this disk and in the engine's memory, and who uses them."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from registry.version import AdapterVersion
from serve.adapters.disk_cache import DiskCache
from serve.adapters.host_tier import HostTier, Resident
from serve.errors import AdapterRefused, EngineAway, EngineLost

log = logging.getLogger(__name__)


class AdapterEngine(Protocol):
    """What residency needs of an engine."""

    async def load(self, name: str, folder: Path) -> None:
        """Make a folder callable."""

    async def unload(self, name: str) -> None:
        """Forget a name."""


@dataclass(slots=True)
class Use:
    """A request's time with an adapter.

    Attributes:
        name: what the engine calls it.
        computed: to be set when the engine has computed with it; it tells how fresh the adapter is there.
    """

    name: str
    computed: bool = False


def engine_name(digest: str) -> str:
    """What the engine calls a version: its digest, with a dash, so that it is no path and no reference."""
    return digest.replace(":", "-")


EngineT = TypeVar("EngineT", bound=AdapterEngine)


class Residency(Generic[EngineT]):
    """Loads, probes and unloads adapters, from private copies of what the disk cache has.

    At most ``limit`` adapters are loaded; ``use`` unloads the one that has been idle for longest. The caller keeps
    fewer than ``limit`` in use or pinned at once (the scheduler's slots), so there is always one to unload. The engine
    reads an adapter's files once, while it is loaded: an adapter that it could have forgotten since (``HostTier``) is
    loaded again before it is used, and pinned ones are touched before it can forget them.

    Attributes:
        limit: adapters that are loaded at most.
        pinned: digests that are never unloaded, nor removed from the disk.
        on_loaded: hears of each load and its seconds, probe included.
        on_evicted: hears of each adapter that was unloaded to make room.
    """

    def __init__(
        self,
        *,
        disk: DiskCache,
        limit: int,
        probe: Callable[[EngineT, str], Coroutine[Any, Any, None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.disk = disk
        self.pinned: frozenset[str] = frozenset()
        self.on_loaded: Callable[[AdapterVersion, float], None] = lambda *_: None
        self.on_evicted: Callable[[AdapterVersion], None] = lambda _: None
        self.limit = limit
        self._probe = probe
        self._clock = clock
        self._engine: EngineT | None = None
        self._residents: dict[str, Resident] = {}
        self._tier = HostTier(limit)
        self._refused: dict[str, AdapterRefused] = {}
        self._loads: dict[str, asyncio.Task[None]] = {}
        self._one_load = asyncio.Lock()
        disk.needs.append(lambda digest: digest in self or digest in self.pinned)

    def __contains__(self, digest: str) -> bool:
        return digest in self._residents

    @property
    def loaded(self) -> list[str]:
        """Digests of what the engine can name, least recently used first."""
        return [version.digest for version in self.versions]

    @property
    def versions(self) -> list[AdapterVersion]:
        """The same, as versions."""
        return [resident.version for resident in sorted(self._residents.values(), key=lambda resident: resident.used)]

    def attach(self, engine: EngineT) -> None:
        """A new engine is ready; it has no adapters."""
        self._engine = engine

    def detach(self) -> list[AdapterVersion]:
        """The engine has gone. Returns what it had, most recently used first, for loading it again."""
        had = self.versions[::-1]
        self._engine = None
        self._residents.clear()
        self._tier = HostTier(self.limit)
        self._refused.clear()
        return had

    async def fetch(self, version: AdapterVersion) -> None:
        """Have the version's files on this disk, unless the engine has it loaded.

        Raises:
            AdapterRefused: it was refused when it was loaded before.
            Corrupted: the registry's copy is damaged.
            Unavailable: the registry is away, or this disk is full.
        """
        self._check_refused(version.digest)
        if not self._resident(version.digest):
            async with self.disk.lease(version):
                pass

    @contextlib.asynccontextmanager
    async def use(self, version: AdapterVersion) -> AsyncIterator[Use]:
        """Have the adapter loaded and probed, and keep it so inside the context.

        Raises:
            AdapterRefused: it cannot be served.
            EngineAway: there is no engine.
            Corrupted: the registry's copy is damaged.
            Unavailable: the registry is away, or this disk is full.
        """
        resident = self._resident(version.digest)
        while resident is None:
            self._check_refused(version.digest)
            await self._load_once(version)
            resident = self._residents.get(version.digest)
        began = self._clock()
        resident.users += 1
        use = Use(engine_name(version.digest))
        try:
            yield use
        finally:
            resident.users -= 1
            resident.used = self._clock()
            if use.computed:
                resident.touched = max(resident.touched, began)

    def forget(self, digest: str) -> None:
        """The engine turned out not to know it: the next use loads it again."""
        self._residents.pop(digest, None)

    def _check_refused(self, digest: str) -> None:
        if refusal := self._refused.get(digest):
            raise AdapterRefused(refusal.message, refusal.hint)

    def _resident(self, digest: str) -> Resident | None:
        """The adapter, if the engine certainly has it in memory."""
        resident = self._residents.get(digest)
        return resident if resident and self._tier.holds(resident) else None

    async def _load_once(self, version: AdapterVersion) -> None:
        """Join the load under way for this digest, or begin it; a caller that gives up does not stop the others."""
        digest = version.digest
        task = self._loads.get(digest)
        if task is None:
            task = self._loads[digest] = asyncio.create_task(self._load(version))
            task.add_done_callback(lambda done: self._finished(digest, done))
        await asyncio.shield(task)

    def _finished(self, digest: str, task: asyncio.Task[None]) -> None:
        del self._loads[digest]
        if not task.cancelled() and (error := task.exception()):
            log.warning("Load of %s: %s", digest, error)

    async def _load(self, version: AdapterVersion) -> None:
        async with self.disk.lease(version), self._one_load, self.disk.copy(version) as folder:
            engine = self._engine
            if engine is None:
                raise EngineAway("The engine is starting or was restarted.", "Try again in a few seconds.")
            self.forget(version.digest)
            await self._prepare_for(engine, version)
            began = self._clock()
            resident = Resident(version, used=began, touched=began, users=1)
            self._tier.add(resident)
            try:
                await self._load_and_probe(engine, version, folder)
            finally:
                resident.users -= 1
                resident.used = self._clock()
            if self._engine is not engine:
                raise EngineAway("The engine was restarted.", "Try again in a few seconds.")
            self._residents[version.digest] = resident
            self.on_loaded(version, resident.used - began)

    async def _prepare_for(self, engine: EngineT, version: AdapterVersion) -> None:
        """Make room for a version.

        Raises:
            EngineAway: the engine went away; the version had no part in that.
        """
        try:
            await self._make_room(engine)
            await self._touch_pinned(engine)
            # Left from a load whose probe was interrupted, or about to be forgotten.
            await engine.unload(engine_name(version.digest))
        except EngineLost as error:
            raise EngineAway(error.message, error.hint) from error

    async def _load_and_probe(self, engine: EngineT, version: AdapterVersion, folder: Path) -> None:
        name = engine_name(version.digest)
        try:
            await engine.load(name, folder)
            await self._probe(engine, name)
        except AdapterRefused as error:
            await engine.unload(name)
            await self.disk.verify_copy(version, folder)  # else it was not the adapter that was refused
            self._refused[version.digest] = error
            raise

    async def _make_room(self, engine: EngineT) -> None:
        while len(self._residents) >= self.limit:
            idle = [digest for digest in self.loaded if not self._residents[digest].users and digest not in self.pinned]
            if not idle:
                raise EngineAway("Every adapter that is loaded is in use.", "Try again in a few seconds.")
            evicted = self._residents.pop(idle[0])
            self.on_evicted(evicted.version)
            await engine.unload(engine_name(idle[0]))

    async def _touch_pinned(self, engine: EngineT) -> None:
        """Use each pinned adapter that this load brings nearer to the end of the engine's host tier."""
        for digest in self.pinned & self._residents.keys():
            resident = self._residents[digest]
            if self._tier.newer(resident) < self.limit // 2:
                continue
            if not self._tier.holds(resident):
                self.forget(digest)  # ``Pins`` has it loaded again
                continue
            began = self._clock()
            await self._probe(engine, engine_name(digest))
            resident.touched, resident.used = max(resident.touched, began), self._clock()
