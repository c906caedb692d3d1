"""The scheduler: ``Slots`` for coroutines, on the real clock. What it promises is written in ``slots.py``."""

import asyncio
import time
from collections.abc import Callable
from types import TracebackType

from serve.errors import DeadlinePassed, EngineAway
from serve.turns.asker import Asker
from serve.turns.demand import LITTLE, Demand
from serve.turns.slots import BASE, Slots
from serve.turns.ticket import Ticket

SETTLE_SECONDS = 1.0


class Lease:
    """Permission to be in the engine; leaving the context gives it back.

    Attributes:
        tokens: what it has used, prompt and answer.
    """

    def __init__(self, scheduler: "Scheduler", ticket: Ticket) -> None:
        self._scheduler = scheduler
        self._ticket = ticket
        self.tokens = 0

    async def __aenter__(self) -> "Lease":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, asyncio.CancelledError) and not self.tokens:
            self.tokens = round(self._ticket.charged)  # who leaves before the engine has counted does not compute free
        if error and self._scheduler.base_alone:
            # Broken off: the engine hears of it soon and computes it for a step more, which the base must not join.
            asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._scheduler.release, self._ticket, self.tokens)
        else:
            self._scheduler.release(self._ticket, self.tokens)


class Scheduler:
    """Gives turns in the engine.

    Attributes:
        core: the mechanism.
        base_alone: the base never shares the engine with an adapter.
    """

    def __init__(
        self,
        *,
        slots: int,
        sequences: int,
        capacity: int,
        base_alone: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.core = Slots(slots, sequences, capacity, base_size=slots if base_alone else 0)
        self.base_alone = base_alone
        self._clock = clock
        self._turns: set[asyncio.Future[None]] = set()  # of those who wait

    async def acquire(self, digest: str | None, asker: Asker, demand: Demand = LITTLE) -> Lease:
        """Wait for a turn.

        Args:
            digest: the adapter's, or None for the base.
            asker: who asks, and until when.
            demand: what the request takes of the engine.

        Raises:
            QueueFull: too many wait already.
            DeadlinePassed: the turn did not come in time.
            EngineAway: the engine went away meanwhile.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def admit() -> None:
            if not turn.done():  # the waiting coroutine may have been cancelled a moment ago
                turn.set_result(None)

        ticket = Ticket(digest or BASE, asker, self._clock(), demand, admit)
        self.core.enter(ticket, self._clock())
        if not ticket.admitted:
            seconds = None if asker.deadline is None else asker.deadline - self._clock()
            self._turns.add(turn)
            try:
                async with asyncio.timeout(seconds):
                    await turn
            except BaseException as error:
                self.release(ticket, 0)
                if isinstance(error, TimeoutError):
                    raise DeadlinePassed("The request waited until its deadline.", "Try again later.") from None
                raise
            finally:
                self._turns.discard(turn)
        return Lease(self, ticket)

    def dismiss(self) -> None:
        """The engine has gone: nobody waits for it any longer."""
        for turn in self._turns:
            if not turn.done():
                turn.set_exception(EngineAway("The engine was restarted.", "Try again in a few seconds."))

    def release(self, ticket: Ticket, tokens: int) -> None:
        """End of a turn."""
        self.core.leave(ticket, tokens, self._clock())
