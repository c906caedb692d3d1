"""Replica: one server, what its routes share, and how a request finds its adapter in the engine."""

import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from registry.errors import AdaptoryError, InvalidInput
from registry.profile import ServingProfile
from registry.version import AdapterVersion
from serve.adapters.prefetch import Prefetch
from serve.adapters.probe import Probe
from serve.adapters.residency import Residency
from serve.catalogue import Catalogue, Target
from serve.engine.client import Engine
from serve.engine.supervisor import Supervisor
from serve.errors import AdapterRefused
from serve.swap import Swaps
from serve.turns.asker import Asker
from serve.turns.scheduler import Lease, Scheduler
from serve.watching.access_log import AccessLog, Entry
from serve.watching.metrics import Metrics
from serve.watching.tracing import Tracing

log = logging.getLogger(__name__)

OURSELVES = Asker(key="adaptory")
"""Who sends the server's own requests."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A request's time in the engine.

    Attributes:
        engine: to be asked.
        name: what the engine calls the adapter or the base.
        lease: the scheduler's; it wants to know the tokens.
    """

    engine: Engine
    name: str
    lease: Lease


class Replica:
    """Everything that answers a request.

    Attributes:
        paths: the engine's routes.
    """

    def __init__(
        self,
        *,
        profile: ServingProfile,
        catalogue: Catalogue,
        residency: Residency[Engine],
        scheduler: Scheduler,
        supervisor: Supervisor,
        probe: Probe,
        metrics: Metrics,
        access: AccessLog,
        tracing: Tracing,
        max_lora_rank: int,
    ) -> None:
        self.profile = profile
        self.catalogue = catalogue
        self.residency = residency
        self.scheduler = scheduler
        self.supervisor = supervisor
        self.swaps = Swaps(catalogue, self.prepare)
        self.prefetch = Prefetch(residency.disk)
        self.metrics = metrics
        self.access = access
        self.tracing = tracing
        self.paths: set[str] = set()
        self._probe = probe
        self._max_lora_rank = max_lora_rank
        self._had: list[AdapterVersion] = []
        catalogue.on_pushed = self.prefetch.want
        catalogue.on_set = self._alias_set
        residency.on_loaded = lambda version, seconds: metrics.loaded(str(version), seconds)
        residency.on_evicted = lambda version: metrics.evicted(str(version))
        self.swaps.on_swapped = metrics.swapped
        supervisor.on_ready = self._engine_ready
        supervisor.on_gone = self._engine_gone

    @contextlib.asynccontextmanager
    async def turn(self, target: Target, asker: Asker, entry: Entry, cost: int = 0) -> AsyncIterator[Turn]:
        """Wait until the engine may be asked for this target, and keep the adapter there inside the context.

        Args:
            target: what is asked for.
            asker: who asks.
            entry: is told how long it waited.
            cost: tokens of the prompt, an estimate.

        Raises:
            AdaptoryError: it cannot be served, now or ever.
        """
        self.supervisor.engine()  # no engine, no waiting
        version = target.version
        if version:
            self._check_rank(version)
            await self.residency.fetch(version)  # before a slot is taken: other adapters compute meanwhile
        began = time.monotonic()
        async with await self.scheduler.acquire(version.digest if version else None, asker, cost) as lease:
            entry.queue = time.monotonic() - began
            if version is None:
                yield Turn(self.supervisor.engine(), self.catalogue.base.name, lease)
                return
            async with self.residency.use(version) as use:
                yield Turn(self.supervisor.engine(), use.name, lease)
                use.computed = lease.tokens > 0

    async def prepare(self, version: AdapterVersion) -> None:
        """Have a version pulled, verified, loaded and probed.

        Raises:
            AdaptoryError: it cannot be served, now or ever.
        """
        if version.manifest.base_fingerprint != self.catalogue.base.fingerprint:
            raise AdapterRefused(f"{version} is an adapter of the base {version.manifest.base_name}.")
        async with self.turn(Target(version, version.digest), OURSELVES, Entry("", "")):
            log.info("%s is ready.", version)

    async def reload(self) -> None:
        """Load again what the engine had before it went away."""
        versions, self._had = self._had, []
        for version in versions:
            try:
                await self.prepare(version)
            except AdaptoryError as error:
                log.warning("%s was not loaded again: %s", version, error.message)

    def _alias_set(self, name: str, alias: str, version: AdapterVersion) -> None:
        """Somebody has promoted or rolled back."""
        self.swaps.set_anew(name, alias, version)
        self.prefetch.want(version)

    async def _engine_ready(self, engine: Engine) -> None:
        """A new engine answers: learn what it has and what the base says."""
        self.paths = await engine.paths()
        await self._probe.measure_base(engine)
        self.residency.attach(engine)
        self.swaps.retry_failed()

    def _engine_gone(self) -> None:
        """Remember what it had."""
        self._had = self.residency.detach() or self._had

    def _check_rank(self, version: AdapterVersion) -> None:
        rank = version.manifest.lora.rank
        if rank > self._max_lora_rank:
            raise InvalidInput(
                f"{version} has rank {rank}; this server was started for ranks up to {self._max_lora_rank}.",
                f"adaptory serve --max-lora-rank {rank}",
            )
