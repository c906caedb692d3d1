"""Pins: adapters that are loaded at the start and stay."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from registry.errors import AdaptoryError, InvalidInput, NotFound
from registry.refs import AdapterRef
from registry.version import AdapterVersion
from serve.catalogue import Catalogue
from serve.fleet import Fleet

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
RETRY_SECONDS = 5.0


def check_pins(references: Sequence[str], slots: int, host_adapters: int) -> tuple[str, ...]:
    """The references, each once, as they will be followed.

    Args:
        references: as typed.
        slots: adapters that compute at once; each of them needs a place beside the pinned ones.
        host_adapters: places in the engine's memory.

    Raises:
        InvalidInput: one is no reference, or there are too many.
    """
    pins = tuple(dict.fromkeys(str(AdapterRef.parse(reference)) for reference in references))
    most = host_adapters - slots
    if len(pins) > most:
        raise InvalidInput(
            f"{len(pins)} adapters are to be pinned; {host_adapters} places for {slots} slots leave room for {most}.",
            f"adaptory serve --host-adapters {slots + len(pins)}",
        )
    return pins


class Pins:
    """Follows references, mostly aliases, and keeps what they answer with loaded, each in the engine that is its home.

    A reference that names nothing yet is looked for again and again; a version that cannot be loaded is tried again
    every RETRY_SECONDS.
    """

    def __init__(
        self,
        references: Sequence[str],
        catalogue: Catalogue,
        fleet: Fleet,
        prepare: Callable[[AdapterVersion], Awaitable[None]],
    ) -> None:
        self._references = references
        self._catalogue = catalogue
        self._fleet = fleet
        self._prepare = prepare
        self._rest_until: dict[str, float] = {}

    async def run(self) -> None:
        """Follow until cancelled."""
        while self._references:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Pin what the references answer with now, and load what is not loaded."""
        versions = [version for reference in self._references if (version := self._version(reference))]
        self._fleet.pin(frozenset(version.digest for version in versions))
        for version in versions:
            rested = time.monotonic() >= self._rest_until.get(version.digest, 0)
            if version.digest not in self._fleet.home(version.digest).residency and rested:
                await self._load(version)

    async def _load(self, version: AdapterVersion) -> None:
        try:
            await self._prepare(version)
            self._rest_until.pop(version.digest, None)
        except AdaptoryError as error:
            self._rest_until[version.digest] = time.monotonic() + RETRY_SECONDS
            log.warning("%s is pinned and cannot be loaded: %s", version, error.message)

    def _version(self, reference: str) -> AdapterVersion | None:
        try:
            return self._catalogue.find(reference).version
        except NotFound:
            return None
