"""What is computed from requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.figures import first_token_seconds, jain, slope_per_minute, tokens_between, tokens_per_second
from bench.many import wrong
from bench.oversubscribed import waits_by_adapter
from bench.plan import Done
from bench.popularity import arrivals, picks, zipf
from bench.swap import mixed
from bench.table import GOALS, blank, met


def done(start: float, first: float | None, end: float, tokens: int = 8, **more: object) -> Done:
    fields = {"number": 0, "target": "", "model": "a:1", "key": "", "status": 200 if first is not None else 0}
    return Done(start=start, first=first, end=end, tokens=tokens, **fields | more)  # type: ignore[arg-type]


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=20))
def test_jain_lies_between_one_for_all_and_one_for_one(shares: list[float]) -> None:
    assert 1 / len(shares) - 1e-9 <= jain(shares) <= 1 + 1e-9
    assert jain([shares[0]] * 5) == pytest.approx(1)
    assert jain([shares[0], 0, 0, 0]) == pytest.approx(0.25)


@given(st.floats(0, 100), st.floats(0, 10), st.floats(0.1, 10), st.floats(0, 120))
def test_windows_add_up_to_all_tokens(start: float, wait: float, length: float, cut: float) -> None:
    one = done(start, start + wait, start + wait + length)
    parts = tokens_between([one], 0, cut) + tokens_between([one], cut, 200)
    assert parts == pytest.approx(tokens_between([one], 0, 200))
    assert tokens_between([one], 0, 200) == pytest.approx(8)


def test_who_got_no_answer_waited_for_the_limit() -> None:
    failed = done(1, 2, 3, error="it broke")
    assert first_token_seconds([done(1, 3, 4), done(1, None, 9), failed], 150) == [2, 150, 150]


def test_throughput_counts_what_was_answered() -> None:
    assert tokens_per_second([done(0, 1, 2), done(0, 1, 4), done(0, None, 1)]) == 4
    assert tokens_per_second([done(0, None, 1)]) == 0


def test_slope() -> None:
    assert slope_per_minute([0, 30, 60], [5, 6, 7]) == pytest.approx(2)
    assert slope_per_minute([0], [5]) == 0


def test_popularity_is_zipf_s_and_repeats() -> None:
    shares = zipf(8)
    assert sum(shares) == pytest.approx(1)
    assert shares[0] == pytest.approx(8 * shares[7])
    drawn = picks("abcdefgh", 4000)
    assert drawn == picks("abcdefgh", 4000)
    assert drawn.count("a") / 4000 == pytest.approx(shares[0], abs=0.05)


def test_arrivals_come_at_the_rate_and_in_order() -> None:
    times = arrivals(5, 1000)
    assert len(times) == pytest.approx(5000, rel=0.1)
    assert times == sorted(times)
    assert times[-1] < 1000


def test_waits_of_the_gateway_and_of_the_engine_have_the_same_names() -> None:
    assert waits_by_adapter([done(0, 1, 2, model="a:1"), done(0, 2, 3, model="a")]) == {"a": [1, 2]}


def test_answers_of_another_adapter_are_found() -> None:
    assert mixed(" yes yes no")
    assert not mixed(" no no")
    names = ["a:1", "b:1"]
    answers = [done(0, 1, 2, model="a:1", text=" yes" * 4), done(0, 1, 2, model="b:1", text=" yes" * 4)]
    assert wrong(answers, names) == 1


def test_goals() -> None:
    assert set(blank()) == set(GOALS)
    assert met("throughput_ratio", 0.96)
    assert not met("swap_failed", 1)
    assert met("capacity_tokens_per_second", 1) is None
