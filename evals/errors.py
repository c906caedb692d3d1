"""What can go wrong in an evaluation."""

from registry.errors import InvalidInput, Unavailable


class InvalidSuite(InvalidInput):
    """A suite that cannot be read, or whose data cannot."""


class ServerAway(Unavailable):
    """No server answers, or not for this version."""
