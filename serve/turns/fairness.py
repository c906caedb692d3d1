"""Fairness: what keys and adapters have been served, in tokens (a virtual token counter).

After Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024: of those who wait, whoever has been served
the fewest tokens for his weight goes first. Two things differ. The paper charges each token as it is made; here a
request is charged when it is admitted, with its prompt and the mean answer of its key, and corrected when it ends, so
that a flood of long answers counts before the first of them is complete. And a correction downwards is kept as credit
for the next charge, so that counters only grow: ``Ranking`` lives on that.
"""

from dataclasses import dataclass

from serve.turns.ranking import Ranking

FIRST_GUESS = 16.0
"""Tokens of an answer before any has been seen. Too low is mended when the first answers end. Too high, whoever fills
the engine first gets back what he was charged too much, beside others who were lifted to that: with 128, and answers of
16, a flood computed nine tenths of all for two minutes, on the real engine with 32 sequences."""

LEARNING = 0.1
"""How much a new answer moves the mean: the last ten or so decide."""

SWEEP_AT = 128
"""So many accounts are kept before idle ones are looked for; then twice as many as were left."""


@dataclass(eq=False, slots=True)
class Account:
    """One key's or one adapter's.

    Attributes:
        name: the key's id, or the adapter's digest.
        weight: twice the weight, twice the tokens.
        served: tokens charged, over the weight; only grows.
        answer: running mean of its answers, tokens.
        credit: tokens charged too much so far.
        waiting: its requests that wait.
        inside: its requests that wait or run.
    """

    name: str
    weight: float
    served: float
    answer: float
    credit: float = 0.0
    waiting: int = 0
    inside: int = 0

    def charge(self, tokens: float) -> None:
        """Count tokens, or give some back if negative."""
        tokens -= self.credit
        self.credit = max(-tokens, 0.0)
        self.served += max(tokens, 0.0) / self.weight

    def lift(self, floor: float) -> None:
        """Give up what it has not used: neither its counter nor its credit put it below ``floor``."""
        self.credit = min(self.credit, max(self.served - floor, 0.0) * self.weight)
        self.served = max(self.served, floor)

    def learn(self, answer: float) -> None:
        """An answer had so many tokens."""
        self.answer += LEARNING * (answer - self.answer)


class Ledger:
    """The accounts of all keys, or of all adapters; those that no longer matter are forgotten.

    Whoever comes with nothing waiting is lifted to the floor: the least counter among those who wait, or, if nobody
    waits, that of the last one admitted. Time spent away is not saved up, so an idle account below the floor is the
    same as none.
    """

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}
        self._waiting: Ranking[Account] = Ranking(lambda account: account.served)
        self._last = Account("", 1.0, 0.0, FIRST_GUESS)
        self._sweep_at = SWEEP_AT

    def __len__(self) -> int:
        return len(self._accounts)

    def account(self, name: str, weight: float = 1.0) -> Account:
        """The account of this name, opened if need be; the weight is the latest one said."""
        account = self._accounts.get(name)
        if account is None:
            account = self._accounts[name] = Account(name, weight, self._floor, self._last.answer)
        account.weight = weight
        return account

    def __getitem__(self, name: str) -> Account:
        return self._accounts[name]

    def held(self, name: str) -> int:
        """How many requests of this name are inside."""
        account = self._accounts.get(name)
        return account.inside if account else 0

    def inside_weight(self) -> float:
        """Weights of those who have requests inside, together."""
        return sum(account.weight for account in self._accounts.values() if account.inside)

    def enter(self, account: Account, allowance: float = 0.0) -> None:
        """A request of this account begins to wait; it may be below the floor by ``allowance`` tokens."""
        if not account.waiting:
            account.lift(self._floor - allowance / account.weight)
            self._waiting.put(account)
        account.waiting += 1
        account.inside += 1

    def stop_waiting(self, account: Account) -> None:
        """One is admitted or gives up."""
        account.waiting -= 1
        if not account.waiting:
            self._waiting.drop(account)

    def admit(self, account: Account, tokens: float) -> None:
        """One is admitted, and charged so many tokens."""
        self.stop_waiting(account)
        self._last = account
        account.charge(tokens)

    def leave(self, account: Account) -> None:
        """One is inside no longer."""
        account.inside -= 1
        if len(self._accounts) >= self._sweep_at:
            floor = self._floor
            self._accounts = {n: a for n, a in self._accounts.items() if a.inside or a.served > floor}
            self._sweep_at = max(SWEEP_AT, 2 * len(self._accounts))

    def clear(self) -> None:
        """Nobody is inside: nobody has been served at another's expense."""
        self._accounts.clear()
        self._sweep_at = SWEEP_AT

    @property
    def _floor(self) -> float:
        return (self._waiting.first() or self._last).served
