"""Who asks, and how urgently: what the scheduler knows of a request besides its adapter."""

from dataclasses import dataclass

ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class Asker:
    """One request's sender.

    Attributes:
        key: id of the API key, ``ANONYMOUS`` where none is needed, or ``adaptory`` for the server's own requests.
        weight: its share of the engine beside the other keys'; twice the weight, twice the tokens.
        deadline: when it must have been admitted, monotonic seconds, or None.
    """

    key: str = ANONYMOUS
    weight: float = 1.0
    deadline: float | None = None
