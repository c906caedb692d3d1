"""Prefetch: files of versions that will soon be asked for are pulled before they are."""

import asyncio
import logging

from registry.errors import AdaptoryError
from registry.version import AdapterVersion
from serve.adapters.disk_cache import DiskCache

log = logging.getLogger(__name__)

YIELD_SECONDS = 0.1


class Prefetch:
    """Pulls versions that were pushed or aliased, one after the other, while no request waits for a pull.

    It only saves time: what it cannot pull, because the registry is away or the disk is full, the first request pulls.
    """

    def __init__(self, disk: DiskCache) -> None:
        self._disk = disk
        self._wanted: asyncio.Queue[AdapterVersion] = asyncio.Queue()
        self._queued: set[str] = set()

    def want(self, version: AdapterVersion) -> None:
        """Have the version's files on the disk before long."""
        if version.digest not in self._disk and version.digest not in self._queued:
            self._queued.add(version.digest)
            self._wanted.put_nowait(version)

    async def run(self) -> None:
        """Pull until cancelled."""
        while True:
            version = await self._wanted.get()
            while self._disk.pulling:
                await asyncio.sleep(YIELD_SECONDS)
            try:
                async with self._disk.lease(version):
                    log.info("%s is on this disk.", version)
            except AdaptoryError as error:
                log.warning("%s was not pulled ahead: %s", version, error.message)
            self._queued.discard(version.digest)
