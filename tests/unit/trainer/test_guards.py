import math

import pytest

from trainer import guards
from trainer.errors import UselessRun

LINEAR = ["down_proj", "q_proj", "up_proj"]


def told(**changes: object) -> list[str]:
    plain: dict[str, object] = {
        "epochs": 2.0, "targets": LINEAR, "linear": LINEAR, "too_long": 0, "leaked": 0, "max_length": 64,
    }  # fmt: skip
    return list(guards.before_training(**(plain | changes)))  # type: ignore[arg-type] # a table of changes


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"epochs": 4.0}, "4 epochs"),
        ({"targets": ["q_proj"]}, "Only attention layers"),
        ({"too_long": 3}, "3 rows are longer than max_length = 64"),
        ({"leaked": 2}, "2 held-out rows"),
    ],
)
def test_a_plan_that_asks_for_trouble_is_told_so(changes: dict[str, object], word: str) -> None:
    assert told() == []
    assert [word in warning for warning in told(**changes)] == [True]


def test_curves_tell_memorisation_and_no_gain() -> None:
    assert list(guards.after_training([0.5] * 10, [1.5, 0.4, 0.39])) == []
    assert list(guards.after_training([0.1] * 10, [1.5, 0.4, 0.39])) == []
    assert "Memorising" in next(guards.after_training([0.1] * 10, [1.5, 0.4, 0.6]))
    assert "no better" in next(guards.after_training([0.1] * 10, [0.4, 0.4]))
    assert list(guards.after_training([], [])) == []


def test_worthless_runs_are_stopped() -> None:
    for loss in (math.nan, math.inf):
        with pytest.raises(UselessRun, match="diverged"):
            guards.check_loss(loss, 7)
    for largest in (0.0, math.nan):
        with pytest.raises(UselessRun):
            guards.check_change(largest)
    with pytest.raises(UselessRun):
        guards.check_mask(0)
    guards.check_loss(0.5, 1)
    guards.check_change(1e-6)
    guards.check_mask(1)
