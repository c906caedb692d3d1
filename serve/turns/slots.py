"""Slots: who may go to the engine, and when. Pure: the time is given in.

vLLM lets requests overtake whose adapter has no slot, so with more adapters than slots whoever has none starves (0.32,
measured); and what waits inside it can no longer be put in order. So requests wait here, in one line for each adapter,
and the engine is given at most S distinct adapters and N sequences, as many as it computes at once and a few more. A
request for A answers is A sequences: it goes when one is free, and nobody else until one is again.

A sequence that is free goes to the line, among those that hold a slot, whose key has been served the fewest tokens for
its weight, and among that key's to the least served adapter (``fairness.py``). A line without a slot claims one. It
gets one that nobody computes in; else the last in that order of those that hold one for longer than the quantum Q,
and come after the claim, is closed: nothing more is admitted from it, and when its last request has ended its slot
goes to whichever claim is then first.

The batch is kept full meanwhile. The freed sequences of a closed line go to the others; and for a claim that has
waited for less than a round (below) and whose key is about equal, a line with anything to admit is closed only if N
requests wait in the other open lines. So a deep line fills the batch beside shallow ones, and these are emptied rather
than come back for the rest. When nobody who holds a slot has anything to admit, every second slot goes to the longest
line among those whose keys are about equal: a slot for an adapter with two requests is a dear one.

Bound. D is the longest time that one request spends in the engine, L the most lines that ever wait at once, and a flow
is what one key wants of one adapter. With p flows waiting before it, a flow has its first request admitted after

    (P * (1 + L / S) + p // S + 1) * (Q + D) + D

at most, for S * A <= N and ``patience`` P. Why: P * (1 + L / S) * (Q + mean time in the engine) after it was last
admitted from, a flow is overdue, whatever the counters say. Overdue flows go first, the longest wait before the others,
so at most p are before it, and of these each goes once. For their claims every slot is closed Q after it was given at
the latest, and its requests end within D: within Q + D each slot changes hands, or no claim waits. Flows that need no
slot wait for one of N sequences, which all change hands within D. The patience is counted in rounds, the time that
taking turns would need, because an engine may be a hundred times slower than another; and it is long, because where
everybody is overdue nothing but turns is left of fairness (of four keys on 2 slots in simulation, the one with 7
adapters was served twice as much as each of the others at 4 rounds, and the same at 8).

``base_size``. Base requests need a sequence and no slot: 0. On the CPU the base is not itself beside an adapter (see
``docs/decisions/0005``) and takes every slot, which costs up to two more rounds of Q + D.
"""

from dataclasses import dataclass, field

from serve.errors import QueueFull
from serve.turns.contest import Contest, place
from serve.turns.fairness import Ledger
from serve.turns.ticket import Line, Ticket

BASE = "base"
"""Stands for the base among the digests."""

QUANTUM = 2.0
"""Seconds. In simulation 5 s give 1 % more tokens on 8 slots; 2 s let a rare adapter in sooner."""

PATIENCE = 8

RESERVE = 8
"""The last eighth of the places is for keys that hold less than their share."""

LEARNING = 0.02
"""How much one request moves the means of time and tokens: the last fifty or so decide."""


@dataclass(slots=True)
class Slots:
    """The mechanism.

    Attributes:
        slots: distinct adapters in the engine at most.
        sequences: in the engine at most, but for the further answers of the request that was admitted last.
        capacity: requests inside, waiting and running, at most.
        base_size: slots that the base takes: 0 or all of them.
        quantum: an adapter keeps its slot for so long at least, seconds.
        patience: after so many rounds of waiting, counters no longer matter.
        inside: requests that wait or run.
        running: requests in the engine.
        computing: sequences of theirs, one for each answer.
        keys: what keys have been served.
        adapters: what adapters have been served.
    """

    slots: int
    sequences: int
    capacity: int
    base_size: int = 0
    quantum: float = QUANTUM
    patience: float = PATIENCE
    inside: int = 0
    running: int = 0
    computing: int = 0
    keys: Ledger = field(default_factory=Ledger)
    adapters: Ledger = field(default_factory=Ledger)
    _lines: dict[str, Line] = field(default_factory=dict)
    _holders: dict[str, Line] = field(default_factory=dict)
    _open: Contest = field(default_factory=Contest)  # lines that may be admitted from
    _claims: Contest = field(default_factory=Contest)  # lines that want a slot
    _busy: int = 0  # slots in which somebody computes
    _mean_tokens: float = 0.0
    _mean_seconds: float = 0.0
    _by_length: bool = False

    @property
    def active(self) -> dict[str, int]:
        """Adapters that have a slot -> requests in the engine."""
        return {digest: line.running for digest, line in self._holders.items() if line.size}

    @property
    def waiting(self) -> dict[str, int]:
        """Adapters that wait -> requests that wait."""
        return {digest: line.waiting for digest, line in self._lines.items() if line.waiting}

    @property
    def turn(self) -> float:
        """Tokens of two slots' share of a batch. Keys whose counters differ by less are about equal."""
        return 2 * self.sequences / self.slots * self._mean_tokens

    def enter(self, ticket: Ticket, now: float) -> None:
        """A request comes: it is admitted (``ticket.admitted``) or waits.

        Raises:
            QueueFull: too many are inside, or it is nearly full and the key holds its share.
        """
        self._check_room(ticket)
        self.inside += 1
        line = self._lines.get(ticket.digest) or self._new_line(ticket.digest, now)
        key = self.keys.account(ticket.asker.key, ticket.asker.weight)
        # A key that uses less than its share must not lose its slot to a flood that is its equal but for one request.
        self.keys.enter(key, allowance=self.turn)
        self.adapters.enter(line.account)
        line.add(ticket, key)
        self._sort(line)
        self._go_on(now, quiet=ticket)

    def leave(self, ticket: Ticket, tokens: float, now: float) -> None:
        """A request ends, having used so many tokens, or gives up waiting."""
        self.inside -= 1
        line, key = self._lines[ticket.digest], self.keys[ticket.asker.key]
        if ticket.admitted:
            self.running -= 1
            self.computing -= ticket.demand.answers
            line.running -= 1
            self._busy -= 0 if line.running else line.size
            self._mean_seconds += LEARNING * (now - ticket.begun - self._mean_seconds)
            self._mean_tokens += LEARNING * (tokens - self._mean_tokens)
            for account in (key, line.account):
                account.charge(tokens - ticket.charged)
                account.learn(max(tokens - ticket.demand.prompt, 0) / ticket.demand.answers)
        else:
            line.remove(ticket)
            self.keys.stop_waiting(key)
            self.adapters.stop_waiting(line.account)
            self._sort(line)
        self.keys.leave(key)
        self.adapters.leave(line.account)
        if not line.running and (line.closing or not (line.size or line.waiting)):
            self._take_slot(line)
        elif not line.waiting and line.held is None:
            del self._lines[line.digest]
        if not self.inside:
            self.keys.clear()
            self.adapters.clear()
        self._go_on(now)

    def _check_room(self, ticket: Ticket) -> None:
        room = self.capacity - self.capacity // RESERVE
        if self.inside < room:
            return
        holds, weight = self.keys.held(ticket.asker.key), ticket.asker.weight
        share = room * weight / (self.keys.inside_weight() + (0 if holds else weight))
        if self.inside >= self.capacity or holds >= share:
            raise QueueFull(f"{self.inside} requests wait or run here, {holds} of your key.", "Try again in a moment.")

    def _new_line(self, digest: str, now: float) -> Line:
        size = self.base_size if digest == BASE else 1
        line = self._lines[digest] = Line(digest, size, self.adapters.account(digest))
        if not size:
            line.held = now
            self._holders[digest] = line
        return line

    def _sort(self, line: Line) -> None:
        """Put the line where it belongs."""
        contest = self._claims if line.held is None else self._open
        if line.waiting and not line.closing:
            contest.put(line)
        else:
            contest.drop(line)

    def _give_slot(self, line: Line, now: float) -> None:
        """Give it a free slot, or one of those in which nobody computes: that which has been had for longest."""
        free = self.slots - sum(holder.size for holder in self._holders.values())
        for holder in [holder for holder in self._holders.values() if holder.size and not holder.running]:
            if free < line.size:
                free += holder.size
                self._take_slot(holder)
        self._claims.drop(line)
        line.held = now
        self._holders[line.digest] = line

    def _take_slot(self, line: Line) -> None:
        self._open.drop(line)
        del self._holders[line.digest]
        line.held, line.closing = None, False
        if line.waiting:
            self._claims.put(line)
        else:
            del self._lines[line.digest]

    def _go_on(self, now: float, quiet: Ticket | None = None) -> None:
        """Admit whoever may be."""
        turns = (1 + len(self._claims) / self.slots) * (self.quantum + self._mean_seconds)
        overdue = now - self.patience * turns
        while True:
            self._close(now, overdue, now - min(self.patience, 1) * turns)
            line = self._next(overdue) if self.computing < self.sequences else None
            if line is None:
                return
            if line.held is None:
                self._give_slot(line, now)
            self._admit(line, now, overdue, quiet)

    def _next(self, overdue: float) -> Line | None:
        """The line to be admitted from, if there is one that may."""
        lines = self._open.least(1, overdue)
        free = self.slots - self._busy
        if free and self._claims:
            claim = self._claim(overdue)
            if claim.size <= free:  # else nobody takes what the base waits for
                lines.append(claim)
        return min(lines, key=lambda line: place(line, overdue), default=None)

    def _claim(self, overdue: float) -> Line:
        """The claim that gets a slot."""
        first = self._claims.least(1, overdue)[0]
        self._by_length = not (self._by_length or self._open or first.size > 1 or first.since <= overdue)
        if not self._by_length:
            return first
        equal = first.counters[0] + self.turn
        longest = self._claims.longest(self.slots)
        return next((line for line in longest if line.size == 1 and line.counters[0] <= equal), first)

    def _admit(self, line: Line, now: float, overdue: float, quiet: Ticket | None) -> None:
        ticket = line.next(eldest=line.since <= overdue)
        line.remove(ticket, now)
        self._sort(line)
        self.running += 1
        self.computing += ticket.demand.answers
        self._busy += 0 if line.running else line.size
        line.running += 1
        key = self.keys[ticket.asker.key]
        ticket.admitted, ticket.begun = True, now
        ticket.charged = ticket.demand.prompt + ticket.demand.answers * key.answer
        self.keys.admit(key, ticket.charged)
        self.adapters.admit(line.account, ticket.charged)
        if ticket is not quiet:
            ticket.admit()

    def _close(self, now: float, overdue: float, late: float) -> None:
        """Have lines hand over their slots to claims that go before them."""
        closing = [line for line in self._holders.values() if line.closing]
        if not self._claims:
            for line in closing:
                line.closing = False
                self._sort(line)
            return
        ended = [line for line in self._holders.values() if self._may_close(line, now)]
        if not ended:
            return
        ended.sort(key=lambda line: place(line, overdue), reverse=True)
        coming = self.slots - self._busy + sum(line.size for line in closing)
        backlog = sum(line.waiting for line in self._holders.values() if not line.closing)
        for claim in self._claims.least(coming + len(ended), overdue):
            coming -= claim.size
            for line in tuple(ended):
                if coming >= 0:
                    break
                fills = (
                    line.waiting and backlog - line.waiting < self.sequences and claim.size == line.size < self.slots
                )
                equal = line.counters[0] <= claim.counters[0] + self.turn
                keep = fills and equal and claim.since > late
                if place(claim, overdue) < place(line, overdue) and not keep:
                    ended.remove(line)
                    line.closing = True
                    self._sort(line)
                    backlog -= line.waiting
                    coming += line.size
            if coming < 0:
                return

    def _may_close(self, line: Line, now: float) -> bool:
        had = line.held is not None and now - line.held >= self.quantum
        return bool(had and line.size and line.running and not line.closing)
