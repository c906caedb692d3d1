"""Bodies: how many bytes of requests are held at once, over everybody who is inside."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from serve.gateway.openai_errors import SERVER, BadRequest, OpenAIError

MOST_HELD = 256 << 20
"""Bytes: sixteen requests of the largest size, or hundreds of thousands of usual ones."""


class Bodies:
    """Counts what is held, waiting requests included: each could be of the largest size, and thousands may wait."""

    def __init__(self) -> None:
        self.held = 0
        self._most = MOST_HELD

    @contextlib.contextmanager
    def share(self) -> Iterator["Share"]:
        """One request's part, given back at its end."""
        share = Share(self)
        try:
            yield share
        finally:
            self.held -= share.size

    def take(self, size: int) -> None:
        """Hold so many bytes more.

        Raises:
            BadRequest: there is no room for them.
        """
        if self.held + size > self._most:
            told = f"The requests here hold {self._most >> 20} MiB already. Try again in a moment."
            raise BadRequest(OpenAIError(503, told, SERVER, "too_many_bytes"))
        self.held += size


@dataclass(slots=True)
class Share:
    """What one request holds.

    Attributes:
        size: bytes.
    """

    bodies: Bodies
    size: int = 0

    def take(self, size: int) -> None:
        """Hold so many bytes more.

        Raises:
            BadRequest: there is no room for them.
        """
        self.bodies.take(size)
        self.size += size
