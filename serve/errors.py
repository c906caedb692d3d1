"""Errors of serving.

AdaptoryError
├── Unavailable
│   ├── EngineAway          the engine is starting, restarting or gone; trying again helps
│   │   └── EngineLost      it went away while it worked on this, perhaps because of it
│   ├── QueueFull           more requests wait than the gateway keeps; trying again helps
│   ├── DeadlinePassed      the request was not admitted in the time that it gave
│   └── RateLimited         the API key has used what it may; waiting helps
└── Refused
    ├── KeyRefused          no API key, or none that works
    ├── ScopeMissing        an API key that is for something else
    ├── EngineFailed        the engine did not start, and why
    └── AdapterRefused      an adapter that cannot be served: not loadable, not finite, or silently the base
"""

import math

from registry.errors import Refused, Unavailable


class EngineAway(Unavailable):
    """The engine does not answer at the moment."""


class EngineLost(EngineAway):
    """The engine went away while it worked on this, perhaps because of it: no other engine is asked the same."""


class QueueFull(Unavailable):
    """More requests wait than the gateway keeps."""

    http_status = 429


class DeadlinePassed(Unavailable):
    """The request was not admitted in the time that it gave."""

    http_status = 504


class RateLimited(Unavailable):
    """The API key has used what it may.

    Attributes:
        retry_after: seconds until it may again.
    """

    http_status = 429

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message, f"Try again in {math.ceil(retry_after)} s.")
        self.retry_after = retry_after


class KeyRefused(Refused):
    """There is no API key, or none that works."""

    http_status = 401


class ScopeMissing(Refused):
    """The API key is for something else."""


class EngineFailed(Refused):
    """The engine did not start."""

    http_status = 503


class AdapterRefused(Refused):
    """The adapter cannot be served."""

    http_status = 409
