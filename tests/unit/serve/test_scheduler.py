"""The scheduler's promises on a simulated engine with a virtual clock."""

import asyncio
import heapq
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import QueueFull
from serve.policy import FirstCome
from serve.scheduler import BASE, Scheduler, Slots, Ticket

QUANTUM = 2.0
LONGEST = 5.0


@dataclass
class World:
    """A virtual clock, the slots, and an engine in which each request takes the time it brings."""

    core: Slots
    now: float = 0.0
    endings: list[tuple[float, int, Ticket]] = field(default_factory=list)
    begun: dict[int, float] = field(default_factory=dict)
    waits: list[tuple[float, float]] = field(default_factory=list)
    first_waiting: dict[str, tuple[float, float]] = field(default_factory=dict)

    def run(self, arrivals: list[tuple[float, str | None, float]]) -> None:
        """Play arrivals (when, adapter, seconds in the engine) to the end."""
        for number, (when, digest, seconds) in enumerate(sorted(arrivals, key=lambda arrival: arrival[0])):
            self._advance(when)
            ticket = Ticket(digest, "key", when, admit=lambda: None)
            ticket.admit = lambda t=ticket, n=number, s=seconds: self._begin(t, n, s)  # type: ignore[misc]
            ahead = [other for other in self.core.waiting if other != digest]
            fresh = digest not in self.core.waiting
            self.core.enter(ticket, self.now)
            if ticket.admitted:
                self._begin(ticket, number, seconds)
            elif fresh and digest:
                alone = 2 if BASE in {digest, *ahead, *self.core.active} else 0
                bound = (len(ahead) // self.core.slots + 1 + alone) * (QUANTUM + LONGEST)
                self.first_waiting[digest] = (when, when + bound)
        self._advance(float("inf"))

    def _begin(self, ticket: Ticket, number: int, seconds: float) -> None:
        self.begun[number] = self.now
        if ticket.digest and (noted := self.first_waiting.pop(ticket.digest, None)):
            self.waits.append((self.now, noted[1]))
        heapq.heappush(self.endings, (self.now + seconds, number, ticket))

    def _advance(self, until: float) -> None:
        while self.endings and self.endings[0][0] <= until:
            self.now, _, ticket = heapq.heappop(self.endings)
            self.core.leave(ticket, 1, self.now)
            assert len(self.core.active) <= (1 if BASE in self.core.active else self.core.slots)
        if until != float("inf"):
            self.now = until


times = st.floats(0, 30, allow_nan=False)
adapters = st.one_of(st.none(), st.just(BASE), st.sampled_from("abcdefgh"))
lengths = st.floats(0.01, LONGEST)


@given(st.lists(st.tuples(times, adapters, lengths), max_size=150), st.integers(1, 4))
def test_everyone_is_served_within_the_stated_bound(
    arrivals: list[tuple[float, str | None, float]], slots: int
) -> None:
    world = World(Slots(slots, 1000, FirstCome(QUANTUM)))
    world.run(arrivals)
    assert len(world.begun) == len(arrivals)
    assert not world.first_waiting
    assert all(begun <= latest + 1e-9 for begun, latest in world.waits)
    assert world.core.inside == 0
    assert not world.core.waiting


@given(st.integers(1, 3), st.floats(0.01, LONGEST))
def test_a_flood_on_the_other_adapters_starves_nobody(slots: int, seconds: float) -> None:
    flood = [(step / 20, str(step % slots), seconds) for step in range(600)]
    world = World(Slots(slots, 5000, FirstCome(QUANTUM)))
    world.run([*flood, (10.0, "rare", seconds)])
    rare = sorted([*flood, (10.0, "rare", seconds)], key=lambda arrival: arrival[0]).index((10.0, "rare", seconds))
    assert world.begun[rare] <= 10.0 + QUANTUM + LONGEST


def test_base_requests_need_no_slot() -> None:
    core = Slots(1, 10, FirstCome())
    adapter, base = Ticket("a", "k", 0, lambda: None), Ticket(None, "k", 0, lambda: None)
    core.enter(adapter, 0)
    core.enter(base, 0)
    assert adapter.admitted
    assert base.admitted
    assert core.active == {"a": 1}


def test_a_base_that_must_be_alone_is() -> None:
    async def story() -> None:
        scheduler = Scheduler(slots=2, capacity=10, policy=FirstCome(0.0), base_alone=True)
        async with await scheduler.acquire("a", "k"):
            base = asyncio.create_task(scheduler.acquire(None, "k"))
            await asyncio.sleep(0)
            other = asyncio.create_task(scheduler.acquire("b", "k"))
            await asyncio.sleep(0)
            assert scheduler.core.waiting == {BASE: 1, "b": 1}
        async with await base:
            assert scheduler.core.active == {BASE: 1}
        async with await other:
            assert scheduler.core.active == {"b": 1}

    asyncio.run(story())


def test_the_queue_has_a_limit() -> None:
    core = Slots(1, 2, FirstCome())
    tickets = deque(Ticket(digest, "k", 0, lambda: None) for digest in "abc")
    core.enter(tickets.popleft(), 0)
    core.enter(tickets[0], 0)
    with pytest.raises(QueueFull):
        core.enter(tickets[1], 0)
    core.leave(tickets[0], 0, 1)
    core.enter(tickets[1], 1)
    assert core.waiting == {"c": 1}


def test_who_gives_up_waiting_leaves_no_trace() -> None:
    async def story() -> None:
        scheduler = Scheduler(slots=1, capacity=10, policy=FirstCome(0.0), base_alone=False)
        async with await scheduler.acquire("a", "k"):
            waiting = asyncio.create_task(scheduler.acquire("b", "k"))
            await asyncio.sleep(0)
            assert scheduler.core.waiting == {"b": 1}
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            assert scheduler.core.waiting == {}
        async with await scheduler.acquire("c", "k"):
            assert scheduler.core.active == {"c": 1}
        assert scheduler.core.inside == 0

    asyncio.run(story())
