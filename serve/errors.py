"""Errors of serving.

AdaptoryError
├── Unavailable
│   ├── EngineAway          the engine is starting, restarting or gone; trying again helps
│   └── QueueFull           more requests wait than the gateway keeps; trying again helps
└── Refused
    ├── EngineFailed        the engine did not start, and why
    └── AdapterRefused      an adapter that cannot be served: not loadable, not finite, or silently the base
"""

from registry.errors import Refused, Unavailable


class EngineAway(Unavailable):
    """The engine does not answer at the moment."""


class QueueFull(Unavailable):
    """More requests wait than the gateway keeps."""

    http_status = 429


class EngineFailed(Refused):
    """The engine did not start."""

    http_status = 503


class AdapterRefused(Refused):
    """The adapter cannot be served."""

    http_status = 409
