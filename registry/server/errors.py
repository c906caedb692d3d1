"""Errors of the server, which reach a client as the ``registry.errors`` class that each derives from.

AdaptoryError
├── Refused
│   ├── KeyRefused          no API key, or none that works: HTTP 401
│   └── ScopeMissing        an API key that is for something else: HTTP 403
├── InvalidInput
│   └── TooLarge            more bytes than are taken: HTTP 413
└── Conflict
    └── Moved               the condition of If-Match does not hold: HTTP 412
"""

from registry.errors import Conflict, InvalidInput, Refused


class KeyRefused(Refused):
    """There is no API key, or none that works."""

    http_status = 401


class ScopeMissing(Refused):
    """The API key is for something else."""


class TooLarge(InvalidInput):
    """More bytes than the server takes."""

    http_status = 413


class Moved(Conflict):
    """An alias is not where the client saw it."""

    http_status = 412
