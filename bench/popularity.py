"""Popularity: who is asked for, and when; the same for the same seed."""

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate, takewhile

SEED = 3407


def zipf(count: int) -> list[float]:
    """Shares of the 1st to the ``count``-th most popular: proportional to 1/rank, sum 1."""
    whole = sum(1 / rank for rank in range(1, count + 1))
    return [1 / rank / whole for rank in range(1, count + 1)]


def picks(names: Sequence[str], count: int, seed: int = SEED) -> list[str]:
    """``count`` names drawn with Zipf's shares, the first the most popular."""
    draw = random.Random(seed)  # noqa: S311 - a load, no secret
    return draw.choices(names, zipf(len(names)), k=count)


def arrivals(rate: float, seconds: float, seed: int = SEED) -> list[float]:
    """Times of a Poisson process of ``rate`` a second, from 0 to ``seconds``."""
    return list(takewhile(lambda at: at < seconds, accumulate(_gaps(rate, seed))))


def _gaps(rate: float, seed: int) -> Iterator[float]:
    draw = random.Random(seed)  # noqa: S311 - a load, no secret
    while True:
        yield draw.expovariate(rate)
