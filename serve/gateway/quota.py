"""Quotas: what one key may use in a minute and at once, counted in this process."""

import math
import time
from collections.abc import Callable

from registry.api_key import ApiKey, Limits
from serve.errors import RateLimited

MINUTE = 60.0
ALMOST = 1e-9
"""Rounding of the refill, which must not turn a client away that waited exactly as long as it was told."""


class Bucket:
    """A minute's allowance, refilled continuously. It may go into debt, which has to be refilled first."""

    def __init__(self, per_minute: int, now: float) -> None:
        self.size = per_minute
        self._level = float(per_minute)
        self._at = now

    def level(self, now: float) -> float:
        """What is left; below 0 is debt."""
        return min(self.size, self._level + (now - self._at) * self.size / MINUTE)

    def take(self, amount: int, now: float) -> None:
        """Use something up."""
        self._level, self._at = self.level(now) - amount, now

    def until(self, level: float, now: float) -> float:
        """Seconds until so much is left."""
        missing = level - self.level(now)
        return missing * MINUTE / self.size if missing > ALMOST else 0.0


class Allowance:
    """One key's limits and what is used of them.

    A request takes one of its requests and a place when it enters. Its tokens, prompt and answer, are known and taken
    when it leaves, so what is admitted at once can overdraw a minute's tokens by as much as it uses; the debt is waited
    for. ``concurrent`` bounds that.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.running = 0
        self._clock = clock
        self._concurrent = limits.concurrent
        self._buckets = {
            what: Bucket(per_minute, clock())
            for what, per_minute in (("requests", limits.requests_per_minute), ("tokens", limits.tokens_per_minute))
            if per_minute
        }

    def enter(self) -> None:
        """Take one request and a place.

        Raises:
            RateLimited: there is none; nothing was taken.
        """
        now = self._clock()
        for what, bucket in self._buckets.items():
            if wait := bucket.until(1, now):
                raise RateLimited(f"This key may use {bucket.size} {what} per minute.", wait)
        if self._concurrent and self.running >= self._concurrent:
            raise RateLimited(f"This key may have {self._concurrent} requests at once.", 1.0)
        self.running += 1
        if "requests" in self._buckets:
            self._buckets["requests"].take(1, now)

    def leave(self, tokens: int) -> None:
        """Give the place back and take the tokens."""
        self.running -= 1
        if "tokens" in self._buckets:
            self._buckets["tokens"].take(tokens, self._clock())

    def headers(self) -> dict[str, str]:
        """OpenAI's ``x-ratelimit-…`` headers for the limits that there are."""
        now = self._clock()
        headers = {}
        for what, bucket in self._buckets.items():
            headers[f"x-ratelimit-limit-{what}"] = str(bucket.size)
            headers[f"x-ratelimit-remaining-{what}"] = str(max(0, math.floor(bucket.level(now) + ALMOST)))
            headers[f"x-ratelimit-reset-{what}"] = duration(bucket.until(bucket.size, now))
        return headers


class Quotas:
    """The allowances of every key that has asked; as many as the registry has keys, at most."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._allowances: dict[str, Allowance] = {}
        self._unlimited = Allowance(Limits(), clock)

    def allowance(self, key: ApiKey | None) -> Allowance:
        """The key's; where no key is needed, one without limits."""
        if key is None:
            return self._unlimited
        if key.id not in self._allowances:
            self._allowances[key.id] = Allowance(key.limits, self._clock)
        return self._allowances[key.id]


def duration(seconds: float) -> str:
    """As OpenAI writes it: ``20ms``, ``8s``, ``6m0s``; rounded up."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
