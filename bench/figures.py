"""Figures: what is computed from requests that have ended."""

import statistics
from collections.abc import Iterable, Sequence

import numpy as np

from bench.plan import Done


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` percent lie, interpolated linearly."""
    return float(np.percentile(values, share))


def first_token_seconds(done: Iterable[Done], limit: float) -> list[float]:
    """From sending to the first text; ``limit`` for each request without an answer."""
    return [limit if one.first is None or not one.ok else min(one.first - one.start, limit) for one in done]


def tokens_per_second(done: Sequence[Done]) -> float:
    """Answers' tokens, over the time from the first request to the last answer."""
    answered = [one for one in done if one.ok]
    if not answered:
        return 0.0
    return sum(one.tokens for one in answered) / (max(one.end for one in done) - min(one.start for one in done))


def tokens_between(done: Iterable[Done], begin: float, end: float) -> float:
    """Tokens that came in a window, taking each answer's as spread evenly from its first to its last."""
    total = 0.0
    for one in done:
        if one.first is None:
            continue
        inside = min(one.end, end) - max(one.first, begin)
        total += one.tokens * max(0.0, inside) / max(one.end - one.first, 1e-9)
    return total


def jain(shares: Sequence[float]) -> float:
    """Jain's index of fairness: 1 when all have the same, 1/n when one has all (Jain, Chiu, Hawe 1984)."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 0.0


def slope_per_minute(times: Sequence[float], values: Sequence[float]) -> float:
    """Growth per minute, by least squares; times in seconds. 0 with fewer than two points."""
    if len(times) < 2:
        return 0.0
    return 60 * statistics.linear_regression(times, values).slope
