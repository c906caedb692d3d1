"""The suite's gate: which of its conditions a version fails."""

from collections.abc import Mapping

from evals.suite import Condition, Metric
from registry.report import Score


def failures(
    conditions: Mapping[Metric, Condition], adapter: Mapping[str, Score], gain: Mapping[str, Score]
) -> tuple[str, ...]:
    """Say in words each condition that does not hold; empty means passed."""
    found: list[str] = []
    for metric, condition in conditions.items():
        reached, gained = adapter[metric].mean, gain[metric].mean
        if condition.min is not None and reached < condition.min:
            found.append(f"{metric} is {reached:.3f}, at least {condition.min:.3f} was demanded")
        if condition.gain is not None and gained < condition.gain:
            found.append(f"{metric} gains {gained:+.3f} on the base, at least {condition.gain:+.3f} was demanded")
    return tuple(found)
