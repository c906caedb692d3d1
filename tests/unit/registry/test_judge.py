"""What is certain, and what the judge makes of it."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.bounds import difference, drop, wilson
from registry.errors import InvalidInput
from registry.judge import findings, verdict
from registry.release import ReleaseLimits
from registry.tally import LINEAR, LOGARITHMIC, NATS, Tally

LIMITS = ReleaseLimits()
NAMES = st.sampled_from([*LOGARITHMIC, *LINEAR])
VALUES = st.lists(st.tuples(NAMES, st.floats(-1e9, 1e9)), max_size=30)


def tally(values: list[tuple[str, float]] = [], **counts: int) -> Tally:  # noqa: B006 - read only
    made = Tally(dict(counts))
    for name, value in values:
        made.observe(name, value)
    return made


def said(current: Tally, candidate: Tally, limits: ReleaseLimits = LIMITS) -> str:
    return verdict([{"current": current, "candidate": candidate}], limits)


@given(VALUES, VALUES)
@settings(max_examples=40, deadline=None)
def test_tallies_add_up_and_survive_json(one: list[tuple[str, float]], other: list[tuple[str, float]]) -> None:
    both = tally(one)
    both.add(Tally.from_json(json.loads(json.dumps(tally(other).to_json()))))
    assert both == tally(one + other)


@given(st.floats(1e-5, 1e5))
def test_a_bucket_is_near_its_value(value: float) -> None:
    made = tally([("seconds", value)])
    assert made.quantile("seconds", 0.5) == pytest.approx(value, rel=0.045)
    assert made.moments("seconds")[0] == pytest.approx(math.log(value), abs=0.045)


@pytest.mark.parametrize(
    "document",
    [
        {"counts": {"nonsense": 1}, "histograms": {}},
        {"counts": {"errors": -1}, "histograms": {}},
        {"counts": {"errors": "1"}, "histograms": {}},
        {"counts": {}, "histograms": {"nonsense": {"1": 1}}},
        {"counts": {}, "histograms": {"seconds": {"4001": 1}}},
    ],
)
def test_a_tally_from_elsewhere_is_proven(document: dict[str, dict[str, int]]) -> None:
    with pytest.raises(InvalidInput):
        Tally.from_json(document)


def test_bounds_are_those_of_the_literature() -> None:
    # Newcombe 1998, table II, pair (a) 56/70 - 48/80: method 10, there for 95 %: 0.0524 to 0.3339
    z95 = 1.959964
    scale = pytest.MonkeyPatch()
    scale.setattr("registry.bounds.Z", z95)
    assert drop((56, 70), (48, 80)) == pytest.approx(0.0524, abs=5e-5)
    # Newcombe 1998 (interval estimation for the single proportion), 81 of 263 by the score method: 0.2553 to 0.3662
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    scale.undo()
    low, high = difference((1.0, 4.0, 100), (0.0, 0.0, 100))
    assert (low, high) == pytest.approx((1 - 3.0902 * 0.2, 1 + 3.0902 * 0.2))


def test_errors_end_it_and_only_the_candidates_own() -> None:
    fine = tally(requests=1000, errors=3)
    assert "failed requests: 20.0% in 50 samples" in said(fine, tally(requests=50, errors=10))
    assert not said(fine, tally(requests=49, errors=49))  # too few
    assert not said(fine, tally(requests=1000, errors=25))  # 2.5 %: not certainly above 2 %
    assert not said(tally(requests=1000, errors=300), tally(requests=50, errors=16))  # the engine is ill
    assert not said(tally(requests=1000, errors=100), tally(requests=1000, errors=140))  # worse by chance, perhaps
    assert said(tally(requests=1000, errors=100), tally(requests=1000, errors=160))
    assert not said(tally(requests=20), tally(requests=50, errors=10))  # what the current one does is not known yet
    assert said(tally(), tally(requests=50, errors=10))  # nothing to compare with


def test_json_that_is_lost_ends_it() -> None:
    before = tally(asked=500, asked_json=495, free=500, free_json=100)
    after = tally(asked=100, asked_json=97, free=60, free_json=9)
    assert not said(before, after)
    after.add(tally(asked=30))
    assert "where it was demanded" in said(before, after)
    assert "not demanded" in said(before, tally(asked=100, asked_json=99, free=400))
    assert not said(before, tally(asked=500, asked_json=500, free=500, free_json=450))  # more of it is no harm


def test_slowness_ends_it() -> None:
    generator = np.random.default_rng(1)

    def answers(median: float, number: int) -> Tally:
        return tally([("seconds", value) for value in generator.lognormal(math.log(median), 0.6, number)])

    current = answers(1.0, 500)
    assert not said(current, answers(1.3, 500))
    assert "time in the engine" in said(current, answers(2.4, 100))
    assert not said(current, answers(2.4, 49))
    assert not said(answers(1.0, 49), answers(9.0, 500))
    slow = Tally()
    slow.add(answers(1.0, 100))
    slow.observe("seconds", 1e6)  # one answer of eleven days
    assert not said(current, slow)


def test_another_confidence_ends_it_in_either_direction() -> None:
    current = tally([("logprob", -1.5 + NATS * (number % 5)) for number in range(100)])
    for shift, over in ((-1.0, True), (1.0, True), (0.3, False)):
        shifted = tally([("logprob", -1.5 + shift + NATS * (number % 5)) for number in range(100)])
        assert bool(said(current, shifted)) is over
    assert findings(current, current, LIMITS)[-1].surely == 0


def test_a_fault_that_comes_late_is_seen_in_the_last_minutes() -> None:
    total = {"current": tally(requests=90_000), "candidate": tally(requests=10_000, errors=60)}
    recent = {"current": tally(requests=900), "candidate": tally(requests=100, errors=60)}
    assert not verdict([total], LIMITS)
    assert verdict([total, recent], LIMITS)
