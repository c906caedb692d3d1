"""The scheduler: the engine never sees more distinct adapters than it has slots.

vLLM lets requests overtake whose adapter has no slot, so with more adapters than slots whoever has none starves (0.32,
measured). Here requests wait in front of the engine instead, grouped by adapter.

Bound. S slots, quantum Q (``FirstCome``), and D the longest time that one request spends in the engine. An adapter
with p adapters waiting before it has its first request admitted after at most (p // S + 1) * (Q + D). Why: while
adapters wait, as many running ones as there are waiters, oldest first, stop admitting Q after they got their slot;
the requests they had admitted end within D; the slot goes to the longest waiting adapter. So within Q + D each slot
changes hands once, or nobody waits.

``base_alone``. vLLM's LoRA on the CPU reads the last slot's adapter for rows that have none (0.32, torch_ops.bgmv_*:
index -1), so a base request in one batch with an adapter's is silently answered by some adapter. There the base is
scheduled like an adapter that takes every slot; it costs up to two more rounds: (p // S + 3) * (Q + D).
"""

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from serve.errors import QueueFull
from serve.policy import Policy, Running, Waiting

SETTLE_SECONDS = 1.0

BASE = "base"
"""Stands for the base among the digests, where it is scheduled at all."""


@dataclass(eq=False, slots=True)
class Ticket:
    """One request's place, waiting or admitted.

    Attributes:
        digest: the adapter's, ``BASE``, or None for what needs no slot.
        key: who asks.
        since: when it came, seconds.
        admit: called once, when it may go to the engine; never called from ``enter``.
    """

    digest: str | None
    key: str
    since: float
    admit: Callable[[], None]
    admitted: bool = False


@dataclass(slots=True)
class _Slot:
    since: float
    requests: int = 0


@dataclass(slots=True)
class Slots:
    """The mechanism: pure, with the time given in. ``capacity`` bounds requests in the replica, waiting and running.

    A slot more or less: the base takes all of them (``base_alone``), an adapter takes one.
    """

    slots: int
    capacity: int
    policy: Policy
    inside: int = 0
    _active: dict[str, _Slot] = field(default_factory=dict)
    _queues: OrderedDict[str, deque[Ticket]] = field(default_factory=OrderedDict)

    @property
    def active(self) -> dict[str, int]:
        """Adapters that have a slot -> requests in the engine."""
        return {digest: slot.requests for digest, slot in self._active.items()}

    @property
    def waiting(self) -> dict[str, int]:
        """Adapters that wait -> requests that wait."""
        return {digest: len(queue) for digest, queue in self._queues.items()}

    def enter(self, ticket: Ticket, now: float) -> None:
        """A request comes: it is admitted (``ticket.admitted``) or waits.

        Raises:
            QueueFull: too many are inside.
        """
        if self.inside >= self.capacity:
            raise QueueFull(
                f"{self.inside} requests wait or run here, which is the limit.", "Try again in a few seconds."
            )
        self.inside += 1
        if ticket.digest is None:
            ticket.admitted = True
            return
        slot = self._active.get(ticket.digest)
        if slot and ticket.digest not in self._queues and not self._must_yield(ticket.digest, now):
            slot.requests += 1
            ticket.admitted = True
            return
        self._queues.setdefault(ticket.digest, deque()).append(ticket)
        self._hand_over(now, quiet=ticket)

    def leave(self, ticket: Ticket, tokens: int, now: float) -> None:
        """A request ends, or gives up waiting."""
        self.inside -= 1
        if ticket.digest is None:
            return
        if ticket.admitted:
            self._active[ticket.digest].requests -= 1
            self.policy.served(ticket.digest, ticket.key, tokens, now)
        else:
            queue = self._queues[ticket.digest]
            queue.remove(ticket)
            if not queue:
                del self._queues[ticket.digest]
        self._hand_over(now)

    def _size(self, digest: str) -> int:
        return self.slots if digest == BASE else 1

    def _must_yield(self, digest: str, now: float) -> bool:
        """Whether this running adapter is one of those that make room for the waiting ones."""
        wanted = sum(self._size(waiting) for waiting in self._queues if waiting not in self._active)
        oldest = sorted(self._active, key=lambda running: self._active[running].since)[:wanted]
        slot = self._active[digest]
        return digest in oldest and self.policy.yields(Running(digest, slot.since, slot.requests), now)

    def _hand_over(self, now: float, quiet: Ticket | None = None) -> None:
        """Give free and idle slots to waiting adapters, and let in all who wait for them."""
        while True:
            # A queue of an adapter that still has its slot goes on as soon as nobody else waits for it.
            for digest in [waiting for waiting in self._queues if waiting in self._active]:
                if not self._must_yield(digest, now):
                    self._admit(digest, quiet)
            waiting = [
                Waiting(digest, queue[0].since, [ticket.key for ticket in queue])
                for digest, queue in self._queues.items()
                if digest not in self._active
            ]
            if not waiting:
                return
            digest = self.policy.choose(waiting, now)
            if not self._make_room(self._size(digest)):
                return  # nobody overtakes whom the policy chose
            self._active[digest] = _Slot(now)
            self._admit(digest, quiet)

    def _make_room(self, size: int) -> bool:
        """Make ``size`` slots free if so many are unused or idle, those that have been had for longest first."""
        free = self.slots - sum(map(self._size, self._active))
        idle = sorted((d for d, slot in self._active.items() if not slot.requests), key=lambda d: self._active[d].since)
        if free + sum(map(self._size, idle)) < size:
            return False
        for digest in idle:
            if free < size:
                free += self._size(digest)
                del self._active[digest]
        return True

    def _admit(self, digest: str, quiet: Ticket | None) -> None:
        for ticket in self._queues.pop(digest):
            self._active[digest].requests += 1
            ticket.admitted = True
            if ticket is not quiet:
                ticket.admit()


class Lease:
    """Permission to be in the engine; leaving the context gives it back. ``tokens`` is what it has used."""

    def __init__(self, scheduler: "Scheduler", ticket: Ticket) -> None:
        self._scheduler = scheduler
        self._ticket = ticket
        self.tokens = 0

    async def __aenter__(self) -> "Lease":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error and self._scheduler.base_alone:
            # Broken off: the engine hears of it soon and computes it for a step more, which the base must not join.
            asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._scheduler.release, self._ticket, self.tokens)
        else:
            self._scheduler.release(self._ticket, self.tokens)


class Scheduler:
    """``Slots`` for coroutines, on the real clock."""

    def __init__(
        self,
        *,
        slots: int,
        capacity: int,
        policy: Policy,
        base_alone: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.core = Slots(slots, capacity, policy)
        self.base_alone = base_alone
        self._clock = clock

    async def acquire(self, digest: str | None, key: str) -> Lease:
        """Wait for a turn.

        Args:
            digest: the adapter's, or None for the base.
            key: who asks.

        Raises:
            QueueFull: too many wait already.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def admit() -> None:
            if not turn.done():  # the waiting coroutine may have been cancelled a moment ago
                turn.set_result(None)

        ticket = Ticket(digest or (BASE if self.base_alone else None), key, self._clock(), admit)
        self.core.enter(ticket, self._clock())
        if not ticket.admitted:
            try:
                await turn
            except asyncio.CancelledError:
                self.release(ticket, 0)
                raise
        return Lease(self, ticket)

    def release(self, ticket: Ticket, tokens: int) -> None:
        """End of a turn."""
        self.core.leave(ticket, tokens, self._clock())
