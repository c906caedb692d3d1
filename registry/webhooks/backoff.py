"""Backoff: when a delivery that failed is tried again."""

from dataclasses import dataclass
from datetime import timedelta

LONGEST_SECONDS = 6 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Exponential, with jitter; by default 10 attempts over 16 to 20 hours.

    Attributes:
        first: seconds after the first failure, before jitter.
        factor: each wait is so much longer than the one before.
        longest: seconds that no wait exceeds.
        attempts: after so many a delivery is given up.
    """

    first: float = 5.0
    factor: float = 4.0
    longest: float = LONGEST_SECONDS
    attempts: int = 10

    def wait(self, failures: int, chance: float, asked: float = 0.0) -> timedelta | None:
        """How long to wait, or None where it is time to give up.

        Args:
            failures: attempts that have failed, 1 or more.
            chance: from 0 to 1; the wait lies between half of what the exponent says and all of it, so that many
                deliveries that failed together do not come back together.
            asked: seconds that the receiver asked for in ``Retry-After``.
        """
        if failures >= self.attempts:
            return None
        exponential = self.first * self.factor ** (failures - 1)
        return timedelta(seconds=min(self.longest, max(asked, exponential * (0.5 + chance / 2))))
