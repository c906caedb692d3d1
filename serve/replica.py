"""Replica: one server, and what its routes share."""

import contextlib
from collections.abc import AsyncIterator

from registry.errors import InvalidInput, NotFound
from registry.profile import ServingProfile
from registry.release_room import Releases
from registry.version import AdapterVersion
from serve.adapters.disk_cache import DiskCache
from serve.adapters.prefetch import Prefetch
from serve.catalogue import Catalogue, Target
from serve.errors import AdapterRefused
from serve.fleet import Fleet
from serve.place import Turn
from serve.release.desk import Desk
from serve.swap import Swaps
from serve.turns.asker import Asker
from serve.turns.demand import LITTLE, Demand
from serve.watching.access_log import AccessLog, Entry
from serve.watching.metrics import Metrics
from serve.watching.tracing import Tracing


class Replica:
    """Everything that answers a request: the engines, and what they share."""

    def __init__(
        self,
        *,
        profile: ServingProfile,
        catalogue: Catalogue,
        fleet: Fleet,
        disk: DiskCache,
        releases: Releases,
        metrics: Metrics,
        access: AccessLog,
        tracing: Tracing,
        max_lora_rank: int | None,
        serves_base: bool,
    ) -> None:
        self.profile = profile
        self.catalogue = catalogue
        self.fleet = fleet
        self.disk = disk
        self.swaps = Swaps(catalogue, self.prepare)
        self.prefetch = Prefetch(disk)
        self.desk = Desk(catalogue, releases, prepare=self.prepare, turn=self.turn, idle=fleet.idle)
        self.metrics = metrics
        self.access = access
        self.tracing = tracing
        self.serves_base = serves_base
        self._max_lora_rank = max_lora_rank
        catalogue.on_pushed = self.prefetch.want
        catalogue.on_set = self._alias_set
        self.swaps.on_swapped = metrics.swapped
        for place in fleet.places:
            place.on_warm = self.swaps.retry_failed
            place.residency.on_loaded = lambda version, seconds: metrics.loaded(str(version), seconds)
            place.residency.on_evicted = lambda version: metrics.evicted(str(version))

    @contextlib.asynccontextmanager
    async def turn(self, target: Target, asker: Asker, entry: Entry, demand: Demand = LITTLE) -> AsyncIterator[Turn]:
        """Wait until an engine may be asked for this target, and keep the adapter there inside the context.

        Args:
            target: what is asked for.
            asker: who asks.
            entry: is told how long it waited, and which engine it was.
            demand: what the request takes of the engine.

        Raises:
            AdaptoryError: it cannot be served, now or ever.
        """
        if target.version:
            self._check_rank(target.version)
        elif not self.serves_base:
            raise NotFound(
                f"This server answers from GGUFs of versions; {self.catalogue.base.name} alone is not served."
            )
        async with self.fleet.turn(target.version, asker, entry, demand) as turn:
            yield turn

    async def prepare(self, version: AdapterVersion, instead_of: AdapterVersion | None = None) -> None:
        """Have a version pulled, verified, loaded and probed wherever it will be asked for.

        Args:
            version: what.
            instead_of: what answers in its place now.

        Raises:
            AdaptoryError: it cannot be served, now or ever.
        """
        if version.manifest.base_fingerprint != self.catalogue.base.fingerprint:
            raise AdapterRefused(f"{version} is an adapter of the base {version.manifest.base_name}.")
        self._check_rank(version)
        await self.fleet.prepare(version, instead_of)

    def _alias_set(self, name: str, alias: str, version: AdapterVersion) -> None:
        """Somebody has promoted or rolled back."""
        self.swaps.set_anew(name, alias, version)
        self.prefetch.want(version)

    def _check_rank(self, version: AdapterVersion) -> None:
        rank = version.manifest.lora.rank
        if self._max_lora_rank and rank > self._max_lora_rank:
            raise InvalidInput(
                f"{version} has rank {rank}; this server was started for ranks up to {self._max_lora_rank}.",
                f"adaptory serve --max-lora-rank {rank}",
            )
