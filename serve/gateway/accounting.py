"""Accounting: who used what, collected here and added to the registry every few seconds."""

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from registry.rooms import UsageBook
from registry.times import now
from registry.usage import Usage
from serve.own_thread import in_own_thread

log = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
MOST_ROWS = 10_000
OTHER = "*"
"""Stands for the adapter where more than MOST_ROWS rows wait for a registry that is away."""


class Row(NamedTuple):
    """What is counted together; ``number`` is 0 for the base."""

    key: str
    adapter: str
    number: int
    day: date


@dataclass(slots=True)
class Pending:
    """What the registry does not know yet.

    Attributes:
        id: of the batch that it becomes; the registry adds each once.
    """

    requests: Counter[Row] = field(default_factory=Counter)
    tokens_in: Counter[Row] = field(default_factory=Counter)
    tokens_out: Counter[Row] = field(default_factory=Counter)
    last_used: dict[str, datetime] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __bool__(self) -> bool:
        return bool(self.requests or self.last_used)

    def usage(self) -> list[Usage]:
        """For the registry."""
        return [
            Usage(**row._asdict(), requests=requests, tokens_in=self.tokens_in[row], tokens_out=self.tokens_out[row])
            for row, requests in self.requests.items()
        ]

    def count(self, row: Row, requests: int, tokens_in: int, tokens_out: int) -> None:
        """Count, in the row, or, where there are too many, in the one of its key and day."""
        if row not in self.requests and len(self.requests) >= MOST_ROWS:
            row = row._replace(adapter=OTHER, number=0)
        self.requests[row] += requests
        self.tokens_in[row] += tokens_in
        self.tokens_out[row] += tokens_out


class Accounting:
    """Counts in memory; ``run`` writes. A kill -9 loses FLUSH_SECONDS at most, a registry that is away nothing.

    A batch that the registry has not acknowledged, although it may have added it, stays what it is and is sent again;
    what comes meanwhile goes into the next one. Memory is bounded: of each of the two, MOST_ROWS rows, and beyond them
    one for each key and day.
    """

    def __init__(self, book: UsageBook, clock: Callable[[], datetime] = now) -> None:
        self._book = book
        self._clock = clock
        self._pending = Pending()
        self._sent = Pending()
        self._closing = asyncio.Event()
        self._away = False

    def seen(self, key: str) -> None:
        """A key was used."""
        self._pending.last_used[key] = self._clock()

    def count(self, key: str, adapter: str, number: int, tokens_in: int, tokens_out: int) -> None:
        """A request was answered, or broken off while it computed.

        Args:
            key: the key's id, or ``anonymous``.
            adapter: its name, or the base's.
            number: the version's; 0 for the base.
            tokens_in: of the prompt.
            tokens_out: of the answer.
        """
        self._pending.count(Row(key, adapter, number, self._clock().date()), 1, tokens_in, tokens_out)

    async def run(self) -> None:
        """Write every FLUSH_SECONDS, and once more when told to close; cancelled, say what was not written."""
        try:
            while not self._closing.is_set():
                try:
                    await asyncio.wait_for(self._closing.wait(), FLUSH_SECONDS)
                except TimeoutError:
                    await self.flush()
            await self.flush()
        finally:
            if lost := [one for one in (self._sent, self._pending) if one]:
                requests = sum(one.requests.total() for one in lost)
                log.warning("The registry is away: usage of %d requests is lost.", requests)

    def close(self) -> None:
        """Have ``run`` write what is left and end."""
        self._closing.set()

    async def flush(self) -> None:
        """Write what was not acknowledged, then what is pending; what cannot be written stays."""
        if await self._send() and self._pending:
            self._sent, self._pending = self._pending, Pending()
            await self._send()

    async def _send(self) -> bool:
        """Send what is to be acknowledged, if there is anything; whether nothing is left of it."""
        if not self._sent:
            return True
        try:
            await in_own_thread(self._book.add, self._sent.usage(), self._sent.last_used, self._sent.id)
        except Exception as error:  # noqa: BLE001 - whatever a registry does, the server goes on
            if not self._away:
                log.warning("The registry does not take usage, keeping it: %s", error)
            self._away = True
            return False
        self._away = False
        self._sent = Pending()
        return True
