"""What was used is kept: over flushes, a registry that is away, and the end."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from registry.embedded.registry import EmbeddedRegistry
from registry.embedded.usage import UsageBook
from registry.errors import Unavailable
from registry.store import Registry
from registry.usage import Usage
from serve.gateway import accounting
from serve.gateway.accounting import OTHER, Accounting

DAY = datetime(2030, 1, 2, 23, 59, tzinfo=UTC)


class Away(UsageBook):
    """A registry's book that can be away."""

    away = True
    deaf = False
    """It adds, and nobody hears of it."""

    def add(self, amounts: Sequence[Usage], last_used: Mapping[str, datetime], batch: str = "") -> None:
        if self.away:
            raise Unavailable("The registry is away.")
        super().add(amounts, last_used, batch)
        if self.deaf:
            raise Unavailable("The connection was lost before the answer.")


@pytest.fixture
def book(registry: EmbeddedRegistry) -> Away:
    return Away(registry.usage._database)


def test_it_is_written_while_running_and_at_the_end(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "FLUSH_SECONDS", 0.01)
    key = registry.keys.create("ci", actor="test").key

    async def story() -> None:
        kept = Accounting(registry.usage, lambda: DAY)
        running = asyncio.create_task(kept.run())
        kept.count(key.id, "demo", 2, 10, 3)
        kept.seen(key.id)
        while not await asyncio.to_thread(registry.usage.list):
            await asyncio.sleep(0.01)
        kept.count(key.id, "demo", 2, 10, 3)
        kept.count("anonymous", "tiny", 0, 1, 1)
        kept.close()
        await running

    asyncio.run(story())
    assert {
        row.key: (row.adapter, row.number, row.day, row.requests, row.tokens_in) for row in registry.usage.list()
    } == {
        key.id: ("demo", 2, DAY.date(), 2, 20),
        "anonymous": ("tiny", 0, DAY.date(), 1, 1),
    }
    assert registry.keys.list()[0].last_used == DAY


def test_nothing_is_lost_while_the_registry_is_away(book: Away) -> None:
    async def story() -> None:
        kept = Accounting(book, lambda: DAY)
        for _ in range(3):
            kept.count("k", "demo", 1, 5, 1)
            await kept.flush()
        book.away = False
        await kept.flush()
        await kept.flush()

    asyncio.run(story())
    (row,) = book.list()
    assert (row.requests, row.tokens_in, row.tokens_out) == (3, 15, 3)


def test_what_was_added_without_an_answer_is_not_added_again(book: Away) -> None:
    book.away, book.deaf = False, True

    async def story() -> None:
        kept = Accounting(book, lambda: DAY)
        for _ in range(3):
            kept.count("k", "demo", 1, 5, 1)
            await kept.flush()
            assert [row.requests for row in book.list()] == [1]  # the first batch, again and again
        book.deaf = False
        running = asyncio.create_task(kept.run())
        kept.close()
        await running

    asyncio.run(story())
    (row,) = book.list()
    assert (row.requests, row.tokens_in, row.tokens_out) == (3, 15, 3)


def test_memory_is_bounded_and_the_sums_are_right(book: Away, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounting, "MOST_ROWS", 20)

    async def story() -> None:
        kept = Accounting(book, lambda: DAY)
        for number in range(1, 121):
            kept.count("k", "demo", number, 1, 1)
        await kept.flush()
        kept.count("k", "demo", 200, 1, 1)
        book.away = False
        await kept.flush()

    asyncio.run(story())
    rows = book.list()
    assert len(rows) == 22
    assert sum(row.requests for row in rows) == 121
    assert [row.requests for row in rows if row.adapter == OTHER] == [100]
