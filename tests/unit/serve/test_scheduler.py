"""The scheduler on a real loop: turns, deadlines, and what is left behind by whoever gives up."""

import asyncio
import time

import pytest

from serve.errors import DeadlinePassed
from serve.turns.asker import Asker
from serve.turns.demand import Demand
from serve.turns.scheduler import Scheduler
from serve.turns.slots import BASE

ANYONE = Asker()


def test_a_base_that_must_be_alone_is() -> None:
    async def story() -> None:
        scheduler = Scheduler(slots=2, sequences=8, capacity=10, base_alone=True)
        async with await scheduler.acquire("a", ANYONE):
            base = asyncio.create_task(scheduler.acquire(None, ANYONE))
            await asyncio.sleep(0)
            other = asyncio.create_task(scheduler.acquire("b", ANYONE))
            await asyncio.sleep(0)
            assert not base.done()
        async with await base:
            assert scheduler.core.active == {BASE: 1}
            assert not other.done()
        async with await other:
            assert scheduler.core.active == {"b": 1}

    asyncio.run(story())


def test_a_deadline_ends_the_wait_and_leaves_no_trace() -> None:
    async def story() -> None:
        scheduler = Scheduler(slots=1, sequences=8, capacity=10, base_alone=False)
        async with await scheduler.acquire("a", ANYONE):
            with pytest.raises(DeadlinePassed):
                await scheduler.acquire("b", Asker(deadline=time.monotonic() + 0.01))
            with pytest.raises(DeadlinePassed):
                await scheduler.acquire("b", Asker(deadline=time.monotonic() - 1))
            assert scheduler.core.waiting == {}
            late = await scheduler.acquire("a", Asker(deadline=time.monotonic() - 1))
            async with late:  # it need not wait
                assert scheduler.core.active == {"a": 2}
        assert scheduler.core.inside == 0

    asyncio.run(story())


def test_who_gives_up_waiting_leaves_no_trace() -> None:
    async def story() -> None:
        scheduler = Scheduler(slots=1, sequences=8, capacity=10, base_alone=False)
        async with await scheduler.acquire("a", ANYONE):
            waiting = asyncio.create_task(scheduler.acquire("b", ANYONE))
            await asyncio.sleep(0)
            assert scheduler.core.waiting == {"b": 1}
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert scheduler.core.waiting == {}
        async with await scheduler.acquire("c", ANYONE):
            assert scheduler.core.active == {"c": 1}
        assert scheduler.core.inside == 0

    asyncio.run(story())


def test_who_leaves_before_the_engine_has_counted_does_not_compute_for_nothing() -> None:
    async def story() -> None:
        scheduler = Scheduler(slots=1, sequences=8, capacity=10, base_alone=False)
        async with await scheduler.acquire("a", Asker("stays")):
            before = (await scheduler.acquire("a", Asker("leaves"), Demand(1000)), scheduler.core.keys["leaves"].served)
            with pytest.raises(asyncio.CancelledError):
                async with before[0]:
                    raise asyncio.CancelledError
            account = scheduler.core.keys.account("leaves")
            assert account.served - account.credit == pytest.approx(before[1], abs=1)

    asyncio.run(story())
