"""Place: one engine of this server, and what is kept for it: its turns, its adapters, its probe."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from registry.errors import AdaptoryError
from registry.version import AdapterVersion
from serve.adapters.probe import Probe
from serve.adapters.residency import Residency
from serve.engine.client import Engine
from serve.engine.supervisor import Supervisor
from serve.turns.affinity import Load
from serve.turns.asker import Asker
from serve.turns.demand import LITTLE, Demand
from serve.turns.scheduler import Lease, Scheduler
from serve.watching.access_log import Entry

log = logging.getLogger(__name__)

OURSELVES = Asker(key="adaptory")
"""Who sends the server's own requests."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A request's time in an engine.

    Attributes:
        place: where.
        engine: to be asked.
        name: what the engine calls the adapter or the base.
        lease: the scheduler's; it wants to know the tokens.
    """

    place: "Place"
    engine: Engine
    name: str
    lease: Lease


class Place:
    """One engine and everything that is its own.

    Attributes:
        paths: the engine's routes.
        warm: whether it has loaded what it should have since it was started.
        missing: what it should load when it comes back, before what it had.
        watched: around each load, to see whether the engine ends over it.
        on_warm: called when it has.
    """

    def __init__(
        self, *, base: str, supervisor: Supervisor, scheduler: Scheduler, residency: Residency[Engine], probe: Probe
    ) -> None:
        self.supervisor = supervisor
        self.scheduler = scheduler
        self.residency = residency
        self.paths: set[str] = set()
        self.warm = False
        self.missing: Callable[[], Sequence[AdapterVersion]] = list
        self.watched: Callable[[AdapterVersion], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
        self.on_warm: Callable[[], None] = lambda: None
        self._base = base
        self._probe = probe
        self._had: list[AdapterVersion] = []
        self._warming: asyncio.Task[None] | None = None
        supervisor.on_ready = self._engine_ready
        supervisor.on_serving = self._engine_serves
        supervisor.on_gone = self._engine_gone

    @property
    def number(self) -> int:
        """From 0; the same for as long as the server runs."""
        return self.supervisor.number

    @property
    def ready(self) -> bool:
        """Whether the engine answers."""
        return self.supervisor.ready

    @property
    def load(self) -> Load:
        """What it does now."""
        core = self.scheduler.core
        return Load(core.inside, core.inside - core.running)

    @contextlib.asynccontextmanager
    async def turn(
        self, version: AdapterVersion | None, asker: Asker, entry: Entry, demand: Demand
    ) -> AsyncIterator[Turn]:
        """Wait until the engine may be asked, and keep the adapter there inside the context.

        Args:
            version: what is asked for, or None for the base.
            asker: who asks.
            entry: is told how long it waited, and where it went.
            demand: what the request takes of the engine.

        Raises:
            EngineLost: the engine went away while it loaded the adapter.
            EngineAway: it went away before it was asked, or is away.
            AdaptoryError: it cannot be served, now or ever.
        """
        self.supervisor.engine()  # no engine, no waiting
        began = time.monotonic()
        async with await self.scheduler.acquire(version.digest if version else None, asker, demand) as lease:
            entry.queue += time.monotonic() - began
            entry.engine = self.number
            if version is None:
                yield Turn(self, self.supervisor.engine(), self._base, lease)
                return
            async with contextlib.AsyncExitStack() as stack:
                with contextlib.nullcontext() if version.digest in self.residency else self.watched(version):
                    use = await stack.enter_async_context(self.residency.use(version))
                yield Turn(self, self.supervisor.engine(), use.name, lease)
                use.computed = lease.tokens > 0

    async def prepare(self, version: AdapterVersion) -> None:
        """Have a version pulled, verified, loaded and probed.

        Raises:
            AdaptoryError: it cannot be served, now or ever.
        """
        await self.residency.fetch(version)
        async with self.turn(version, OURSELVES, Entry("", ""), LITTLE):
            log.info("%s is ready in engine %d.", version, self.number)

    async def _engine_ready(self, engine: Engine) -> None:
        """A new engine answers: learn what it has and what the base says."""
        self.paths = await engine.paths()
        await self._probe.measure_base(engine)
        self.residency.attach(engine)

    def _engine_serves(self) -> None:
        self._warming = asyncio.create_task(self._warm_up())

    def _engine_gone(self) -> None:
        """Remember what it had, and send away who waits."""
        self.warm = False
        if self._warming:
            self._warming.cancel()
        had = self.residency.detach()
        self._had = had + [version for version in self._had if version not in had]  # which it had not loaded again yet
        self.scheduler.dismiss()

    async def _warm_up(self) -> None:
        """Load what is missing, then what the engine had before it went away."""
        tried: set[str] = set()
        while len(tried) < self.residency.limit:
            left = [version for version in (*self.missing(), *self._had) if version.digest not in tried]
            if not left:
                break
            tried.add(left[0].digest)
            try:
                await self.prepare(left[0])
            except AdaptoryError as error:
                log.warning("%s was not loaded again in engine %d: %s", left[0], self.number, error.message)
        self._had = []
        self.warm = True
        self.on_warm()
