"""Finite: numbers that JSON can hold, and so every client can read."""

import math

from registry.errors import InvalidInput


def prove_finite(what: str, *values: float) -> None:
    """Prove that none is infinite or no number.

    Raises:
        InvalidInput: one is.
    """
    if not all(map(math.isfinite, values)):
        raise InvalidInput(f"{what} has to be a finite number.")
