import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.gate import failures
from evals.graders import Grade, grade
from evals.statistics import gain, score
from evals.suite import Condition, Metric
from registry.report import Score

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False}
documents = st.dictionaries(st.text(max_size=4), st.one_of(st.text(max_size=4), st.integers(), st.none()), max_size=4)


def f1(answer: str, expected: str) -> Grade:
    return grade(answer, expected, ("field_f1",), None)["field_f1"]


@pytest.mark.parametrize(
    ("answer", "valid"),
    [('{"city":"Rom"}', 1), ('{"city":1}', 0), ('{"town":"Rom"}', 0), ("Rom", 0), ('```\n{"city":"Rom"}\n```', 0)],
)
def test_schema_valid_is_strict(answer: str, valid: int) -> None:
    assert grade(answer, "{}", ("schema_valid",), SCHEMA)["schema_valid"] == Grade(valid, 1)


@pytest.mark.parametrize(
    ("answer", "expected", "equal"),
    [('{"a": 1, "b": 2}', '{"b":2,"a":1}', 1), ('{"a":1}', '{"a":2}', 0), (" yes\n", "yes", 1), ("no", "yes", 0)],
)
def test_exact_match_compares_json_by_value(answer: str, expected: str, equal: int) -> None:
    assert grade(answer, expected, ("exact_match",), None)["exact_match"] == Grade(equal, 1)


def test_field_f1_counts_fields() -> None:
    expected = '{"city":"Rom","zip":"1"}'
    assert f1(expected, expected) == Grade(4, 4)
    assert f1('{"city":"Rom"}', expected) == Grade(2, 3)
    assert f1('{"city":"Rome","zip":"1","extra":"x"}', expected) == Grade(2, 5)
    assert f1("no json", expected) == Grade(0, 2)
    assert f1(f"```json\n{expected}\n```", expected) == Grade(4, 4)
    assert f1('{"a":{"city":"Rom"}}', '{"city":"Rom"}') == Grade(0, 2)


@given(documents, documents)
def test_field_f1_is_symmetric_and_bounded(one: dict[str, Any], other: dict[str, Any]) -> None:
    forth, back = f1(json.dumps(one), json.dumps(other)), f1(json.dumps(other), json.dumps(one))
    assert forth == back
    assert 0 <= forth.hits <= forth.possible
    assert (forth.hits == forth.possible) == (one == other)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(3, 6)), min_size=1, max_size=20))
def test_an_interval_holds_its_mean(counts: list[tuple[int, int]]) -> None:
    grades = [Grade(*pair) for pair in counts]
    result = score(grades)
    assert result.low - 1e-6 <= result.mean <= result.high + 1e-6
    assert gain(grades, grades) == Score(mean=0, low=0, high=0)


def test_pairs_are_resampled_together() -> None:
    base = [Grade(item % 2, 1) for item in range(50)]
    better = [Grade(1, 1) for _ in range(50)]
    assert gain(better, base).mean == pytest.approx(0.5)
    assert gain(better, base).low == pytest.approx(1 - score(base).high)


def test_the_gate_says_what_it_misses() -> None:
    def all_at(mean: float) -> dict[str, Score]:
        return {"field_f1": Score(mean=mean, low=0, high=1)}

    conditions: dict[Metric, Condition] = {"field_f1": Condition(min=0.9, gain=0.4)}
    assert failures(conditions, all_at(0.9), all_at(0.4)) == ()
    low = failures(conditions, all_at(0.8), all_at(0.3))
    assert [line.split(",")[0] for line in low] == ["field_f1 is 0.800", "field_f1 gains +0.300 on the base"]
