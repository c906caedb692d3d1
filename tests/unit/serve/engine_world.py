"""A simulated engine with a virtual clock, around the scheduler's mechanism."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from serve.turns.asker import Asker
from serve.turns.demand import LITTLE, Demand
from serve.turns.slots import BASE, Slots
from serve.turns.ticket import Ticket


@dataclass(eq=False)
class Request:
    """Seconds in the engine and tokens are what it will turn out to take; ``patience``: it gives up after so long."""

    digest: str
    key: str = "key"
    seconds: float = 1.0
    tokens: int = 100
    weight: float = 1.0
    demand: Demand = LITTLE
    patience: float = float("inf")
    came: float = 0.0
    begun: float | None = None
    gone: float | None = None
    ahead: int = 0  # flows that waited when it came
    behind: bool = False  # whether its own was one of them


@dataclass
class World:
    """A virtual clock, the slots, and an engine in which each request takes the time it brings."""

    core: Slots
    again: Callable[[Request, float], Request | None] = lambda *_: None  # what a client does after an answer
    now: float = 0.0
    done: list[Request] = field(default_factory=list)
    most_lines: int = 0
    _waiting: dict[Ticket, Request] = field(default_factory=dict)
    _running: dict[Ticket, Request] = field(default_factory=dict)
    _events: list[tuple[float, int, Ticket | Request]] = field(default_factory=list)
    _count: int = 0

    def run(self, arrivals: list[tuple[float, Request]], until: float = float("inf")) -> None:
        """Play the arrivals, and everything that follows from them."""
        for when, request in arrivals:
            self._at(when, request)
        while self._events and self._events[0][0] <= until:
            self.now, _, what = heapq.heappop(self._events)
            if isinstance(what, Request):
                self._come(what)
            elif what in self._running:
                self._end(what)
            elif what in self._waiting:
                self.core.leave(what, 0, self.now)
                self._waiting.pop(what).gone = self.now
            self._check()

    def _at(self, when: float, what: Ticket | Request) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, what))

    def _come(self, request: Request) -> None:
        request.came = self.now
        flows = {(other.digest, other.key) for other in self._waiting.values()}
        request.ahead, request.behind = len(flows), (request.digest, request.key) in flows
        ticket = Ticket(request.digest, Asker(request.key, request.weight), self.now, request.demand, lambda: None)
        ticket.admit = lambda: self._begin(ticket)
        self._waiting[ticket] = request
        self.core.enter(ticket, self.now)
        if ticket.admitted:
            self._begin(ticket)
        elif request.patience < float("inf"):
            self._at(self.now + request.patience, ticket)

    def _begin(self, ticket: Ticket) -> None:
        request = self._waiting.pop(ticket)
        self._running[ticket] = request
        request.begun = self.now
        self._at(self.now + request.seconds, ticket)

    def _end(self, ticket: Ticket) -> None:
        request = self._running.pop(ticket)
        request.gone = self.now
        self.done.append(request)
        self.core.leave(ticket, request.tokens, self.now)
        if more := self.again(request, self.now):
            self._at(self.now, more)

    def _check(self) -> None:
        """What holds at every moment."""
        core, running = self.core, [request.digest for request in self._running.values()]
        adapters = set(running) - {BASE} if not core.base_size else set(running)
        answers = [request.demand.answers for request in self._running.values()]
        assert len(running) == core.running
        assert sum(answers) == core.computing < core.sequences + max(answers, default=1)
        assert len(adapters) <= (1 if core.base_size and BASE in adapters else core.slots)
        assert core.inside == len(running) + len(self._waiting)
        waiting = {request.digest for request in self._waiting.values()}
        assert set(core.waiting) == waiting
        self.most_lines = max(self.most_lines, len(waiting))
        if core.computing < core.sequences and not (core.base_size and BASE in waiting | adapters):
            # Whatever waits cannot compute: every slot is taken, by adapters that go on or hand theirs over to a claim.
            assert not waiting or (len(adapters) == core.slots and waiting - adapters)
            assert BASE not in waiting
