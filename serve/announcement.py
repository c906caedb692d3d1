"""The announcement: this server's row in the registry, so that ``promote --wait`` knows what it does."""

import asyncio
import contextlib
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Sequence
from threading import Lock
from typing import TypeVar

from registry.replica_status import AliasStatus, ReplicaStatus
from registry.rooms import Replicas
from registry.times import now
from serve.catalogue import Catalogue
from serve.own_thread import in_own_thread
from serve.swap import Swaps

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.05
HEARTBEAT_SECONDS = 2.0
LEAVE_SECONDS = 5.0

T = TypeVar("T")


class Announcement:
    """Writes the row when an alias's or an engine's state changes here, keeps it fresh, and removes it at the end.

    A registry that is away is told as soon as it is back; serving does not depend on it.
    """

    def __init__(
        self,
        replicas: Replicas,
        catalogue: Catalogue,
        swaps: Swaps,
        *,
        url: str,
        profile: str,
        engines: Callable[[], Sequence[bool]],
    ) -> None:
        """``engines`` says of each engine whether it answers."""
        self.id = uuid.uuid4().hex
        self._replicas = replicas
        self._catalogue = catalogue
        self._swaps = swaps
        self._url = url
        self._profile = profile
        self._engines = engines
        self._started = now()
        self._said: tuple[int, int] | None = None  # what the row tells of, as ``_state``
        self._away = False
        # One at a time: what is written last is what was said last, and removing the row comes after all else.
        self._speaking = Lock()

    async def run(self) -> None:
        """Announce until cancelled."""
        beat = time.monotonic()
        try:
            while True:
                if self._said != self._state() or time.monotonic() - beat >= HEARTBEAT_SECONDS:
                    beat = time.monotonic()
                    await self._speak()
                await asyncio.sleep(HEARTBEAT_SECONDS if self._away else LOOK_SECONDS)
        finally:
            with contextlib.suppress(Exception):  # a row that stays is taken for that of a dead server
                await asyncio.wait_for(self._ask(lambda: self._replicas.remove(self.id)), LEAVE_SECONDS)

    def status(self) -> ReplicaStatus:
        """What this server does now."""
        base = self._catalogue.base
        return ReplicaStatus(
            id=self.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            url=self._url,
            base_name=base.name,
            base_fingerprint=base.fingerprint,
            profile=self._profile,
            started=self._started,
            heartbeat=now(),
            aliases=tuple(self._aliases()),
            engines=len(self._engines()),
            engines_ready=sum(self._engines()),
        )

    def _state(self) -> tuple[int, int]:
        """The catalogue's revision, and how many engines answer."""
        return self._catalogue.revision, sum(self._engines())

    def _aliases(self) -> list[AliasStatus]:
        catalogue, found = self._catalogue, []
        for (name, at), alias in sorted(catalogue.aliases.items(), key=lambda item: item[0]):
            serving, wanted = catalogue.serving[name, at], catalogue.wanted(name, at)
            if catalogue.fits(serving) or (wanted and catalogue.fits(wanted)):
                found.append(
                    AliasStatus(
                        name=name,
                        alias=at,
                        moved=alias.moved,
                        number=serving.number,
                        digest=serving.digest,
                        state=self._swaps.state(name, at),
                        failure=self._swaps.failure(name, at),
                    )
                )
        return found

    async def _speak(self) -> None:
        state = self._state()
        try:
            if self._said == state and await self._ask(lambda: self._replicas.beat(self.id)):
                return
            status = self.status()
            await self._ask(lambda: self._replicas.put(status))
        except Exception as error:  # noqa: BLE001 - whatever a registry does, the server serves what it has
            if not self._away:
                log.warning("The registry does not know what serves: %s", error)
            self._away = True
        else:
            self._said, self._away = state, False

    async def _ask(self, question: Callable[[], T]) -> T:
        def in_turn() -> T:
            with self._speaking:
                return question()

        return await in_own_thread(in_turn)
