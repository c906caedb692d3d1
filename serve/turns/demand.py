"""Demand: what one request takes of the engine, as far as that is known before it is answered."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Demand:
    """What one request takes.

    Attributes:
        prompt: tokens of its prompt, an estimate.
        answers: how many it asks for, at least 1; each is a sequence of its own in the engine.
    """

    prompt: int = 0
    answers: int = 1


LITTLE = Demand()
"""One answer, to a prompt that hardly counts."""
