"""Bootstrap confidence intervals over items (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from evals.graders import Grade
from registry.report import Score

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2000
SEED = 3407


def score(grades: Sequence[Grade]) -> Score:
    """Mean over items with a 95 % percentile interval."""
    means = _resampled(grades)
    return _with_interval(_mean(grades), means)


def gain(adapter: Sequence[Grade], base: Sequence[Grade]) -> Score:
    """Adapter minus base on the same items; pairs are resampled together, so that hard items do not count as noise."""
    differences = _resampled(adapter) - _resampled(base)
    return _with_interval(_mean(adapter) - _mean(base), differences)


def _mean(grades: Sequence[Grade]) -> float:
    possible = sum(grade.possible for grade in grades)
    return sum(grade.hits for grade in grades) / possible if possible else 0.0


def _resampled(grades: Sequence[Grade]) -> "np.ndarray":
    import numpy as np

    hits = np.array([grade.hits for grade in grades])
    possible = np.array([grade.possible for grade in grades])
    drawn = np.random.default_rng(SEED).integers(0, len(grades), size=(RESAMPLES, len(grades)))
    denominator: np.ndarray = possible[drawn].sum(axis=1)
    means: np.ndarray = np.divide(hits[drawn].sum(axis=1), denominator, out=np.zeros(RESAMPLES), where=denominator > 0)
    return means


def _with_interval(mean: float, resampled: "np.ndarray") -> Score:
    import numpy as np

    low, high = np.percentile(resampled, [2.5, 97.5])
    return Score(mean=round(mean, 6), low=round(float(low), 6), high=round(float(high), 6))
