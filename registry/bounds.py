"""Bounds: what is certain of a rate, of a difference of rates and of a difference of means, from samples.

Each bound is one-sided: the true value lies beyond it with a probability of 0.1 % (``Z`` standard errors).
"""

import math

Z = 3.0902
"""The 99.9 % quantile of the normal distribution."""


def wilson(hits: int, number: int) -> tuple[float, float]:
    """Lower and upper bound of a rate; (0, 1) where nothing was counted.

    Wilson's score interval (E. B. Wilson, JASA 22, 1927), which holds for few samples and rates near 0 as well (Brown,
    Cai and DasGupta, Statistical Science 16, 2001).
    """
    if not number:
        return 0.0, 1.0
    rate, square = hits / number, Z * Z
    centre = rate + square / (2 * number)
    half = Z * math.sqrt(rate * (1 - rate) / number + square / (4 * number * number))
    scale = 1 + square / number
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def drop(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Lower bound of how far a rate has fallen, from (hits, number) to (hits, number); both of one sample at least.

    Newcombe's hybrid score interval (R. G. Newcombe, Statistics in Medicine 17, 1998, method 10).
    """
    one, other = before[0] / before[1], after[0] / after[1]
    return one - other - math.hypot(one - wilson(*before)[0], wilson(*after)[1] - other)


def difference(one: tuple[float, float, int], other: tuple[float, float, int]) -> tuple[float, float]:
    """Lower and upper bound of how much larger the first mean is than the second.

    From (mean, variance, number) of each, by Welch's standard error (B. L. Welch, Biometrika 34, 1947) and the normal
    quantile: with at least ten samples each, Student's would be wider by a third at most.
    """
    error = Z * math.sqrt(one[1] / one[2] + other[1] / other[2])
    return one[0] - other[0] - error, one[0] - other[0] + error
