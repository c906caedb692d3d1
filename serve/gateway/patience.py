"""Patience: how long a slow client is waited for."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits, in seconds, so that no client holds an engine's slot for ever.

    Attributes:
        body: from a request's first line to the last byte of its body.
        answer: that one answer waits for its reader, summed over its pieces.
    """

    body: float = 30.0
    answer: float = 60.0
