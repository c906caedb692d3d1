"""Policy: which waiting adapter gets the next slot, and when a running one has had its turn.

The mechanism in ``scheduler.py`` asks; it knows nothing of fairness. Another rule is another ``Policy``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Waiting:
    """An adapter without a slot, for which requests wait.

    Attributes:
        digest: the version's digest.
        since: when the oldest of them came, seconds.
        keys: who asks, one entry a request, oldest first.
    """

    digest: str
    since: float
    keys: Sequence[str]


@dataclass(frozen=True, slots=True)
class Running:
    """An adapter that has a slot.

    Attributes:
        digest: the version's digest.
        since: when it got the slot, seconds.
        requests: how many compute now.
    """

    digest: str
    since: float
    requests: int


class Policy(Protocol):
    """Decides; keeps no slots and no queues itself."""

    def choose(self, waiting: Sequence[Waiting], now: float) -> str:
        """The digest of the waiting adapter that gets a free slot; ``waiting`` is in order of arrival, not empty."""

    def yields(self, running: Running, now: float) -> bool:
        """Whether a running adapter takes no further requests while another adapter waits for its slot."""

    def served(self, digest: str, key: str, tokens: int, now: float) -> None:
        """A request has ended after so many tokens, prompt and answer."""


@dataclass(frozen=True, slots=True)
class FirstCome:
    """First come, first served over adapters; each keeps its slot for ``quantum`` seconds while others wait."""

    quantum: float = 2.0

    def choose(self, waiting: Sequence[Waiting], now: float) -> str:  # noqa: ARG002 - the protocol's
        """The one that waits for longest."""
        return waiting[0].digest

    def yields(self, running: Running, now: float) -> bool:
        """When its quantum is over."""
        return now - running.since >= self.quantum

    def served(self, digest: str, key: str, tokens: int, now: float) -> None:
        """Served tokens do not count here."""
