"""Ticket: one request's place; and the line of those for one adapter, which is served key by key."""

import math
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from serve.turns.asker import Asker
from serve.turns.demand import Demand
from serve.turns.fairness import Account
from serve.turns.ranking import Ranking


@dataclass(eq=False, slots=True)
class Ticket:
    """One request's place, waiting or admitted.

    Attributes:
        digest: the adapter's, or ``BASE``.
        asker: who asks.
        since: when it came, seconds.
        demand: what it takes of the engine.
        admit: called once, when it may go to the engine; never called from ``enter``.
        admitted: whether it has been.
        begun: when it was admitted, seconds.
        charged: tokens that its key and its adapter were charged then.
    """

    digest: str
    asker: Asker
    since: float
    demand: Demand
    admit: Callable[[], None]
    admitted: bool = False
    begun: float = 0.0
    charged: float = 0.0


@dataclass(eq=False, slots=True)
class Flow:
    """What one key wants of one adapter: its tickets, first come, first served.

    Attributes:
        key: the key's account.
        since: when it was last admitted from, or began to wait.
        tickets: those that wait, never empty while the flow is in a line.
    """

    key: Account
    since: float
    tickets: deque[Ticket] = field(default_factory=deque)


class Line:
    """The requests for one adapter, and its slot.

    Attributes:
        digest: the adapter's, or ``BASE``.
        size: how many slots it takes: 1, and for the base 0 or all.
        account: the adapter's.
        waiting: requests that wait.
        running: requests in the engine.
        held: since when it has a slot, or None.
        closing: it has a slot and is to hand it over: nothing more is admitted.
    """

    def __init__(self, digest: str, size: int, account: Account) -> None:
        self.digest = digest
        self.size = size
        self.account = account
        self.waiting = 0
        self.running = 0
        self.held: float | None = None
        self.closing = False
        self._by_age: OrderedDict[str, Flow] = OrderedDict()
        self._last = account
        self._by_counter: Ranking[Flow] = Ranking(lambda flow: flow.key.served)

    @property
    def since(self) -> float:
        """Since when the flow has waited that has waited for longest; only grows while somebody waits."""
        return next(iter(self._by_age.values())).since

    @property
    def counters(self) -> tuple[float, float]:
        """What its least served key has been served, and the adapter; only grows, but when a ticket comes.

        Where nobody waits, the key that was admitted last counts, and it comes after that key's other adapters.
        """
        flow = self._by_counter.first()
        return (flow.key.served, self.account.served) if flow else (self._last.served, math.inf)

    def add(self, ticket: Ticket, key: Account) -> None:
        """A ticket joins."""
        flow = self._by_age.get(key.name)
        if flow is None:
            flow = self._by_age[key.name] = Flow(key, ticket.since)
            self._by_counter.put(flow)
        flow.tickets.append(ticket)
        self.waiting += 1

    def next(self, *, eldest: bool) -> Ticket:
        """Whose turn it is: of the flow that has waited for longest, or of the least served key."""
        flow = next(iter(self._by_age.values())) if eldest else self._by_counter.first()
        assert flow  # noqa: S101 - asked of lines in which somebody waits
        return flow.tickets[0]

    def remove(self, ticket: Ticket, now: float | None = None) -> None:
        """A ticket is admitted, at ``now``, or gives up."""
        flow = self._by_age[ticket.asker.key]
        flow.tickets.remove(ticket)
        self.waiting -= 1
        if now is not None:
            self._last = flow.key
        if not flow.tickets:
            del self._by_age[flow.key.name]
            self._by_counter.drop(flow)
        elif now is not None:
            flow.since = now
            self._by_age.move_to_end(flow.key.name)
