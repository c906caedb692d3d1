"""Graders: one answer beside the expected one -> counts, which add up over items."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evals.suite import Metric

_FENCE = re.compile(r"\s*```(?:json)?\s*\n(?P<body>.*?)\n?```\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Grade:
    """How well one answer did on one metric: hits out of possible.

    Over many items a metric is sum(hits) / sum(possible): for yes-or-no metrics the share of yes, for F1 the
    micro-averaged 2·TP / (2·TP + FP + FN).

    Attributes:
        hits: numerator.
        possible: denominator.
    """

    hits: float
    possible: float


def grade(answer: str, expected: str, metrics: tuple[Metric, ...], schema: dict[str, Any] | None) -> dict[str, Grade]:
    """Grade an answer on each metric."""
    return {metric: _grade(metric, answer, expected, schema) for metric in metrics}


def _grade(metric: Metric, answer: str, expected: str, schema: dict[str, Any] | None) -> Grade:
    match metric:
        case "schema_valid":
            return Grade(float(_fits(answer, schema or {})), 1.0)
        case "exact_match":
            return Grade(float(_equal(answer, expected)), 1.0)
        case "field_f1":
            return _field_f1(answer, expected)


def _fits(answer: str, schema: dict[str, Any]) -> bool:
    """Strict: the whole answer is JSON that fits, as a program would read it."""
    from jsonschema import Draft202012Validator

    try:
        document = json.loads(answer)
    except (ValueError, RecursionError):
        return False
    return bool(Draft202012Validator(schema).is_valid(document))


def _equal(answer: str, expected: str) -> bool:
    """Equal as JSON where both are JSON, else equal as text without surrounding space."""
    try:
        return bool(json.loads(answer) == json.loads(expected))
    except (ValueError, RecursionError):
        return answer.strip() == expected.strip()


def _field_f1(answer: str, expected: str) -> Grade:
    """Fields are (path, value) pairs. A Markdown fence is forgiven, so that a base is not judged by its wrapping."""
    fenced = _FENCE.fullmatch(answer)
    found, wanted = _fields(fenced["body"] if fenced else answer), _fields(expected)
    common = (found & wanted).total()
    return Grade(2.0 * common, float(found.total() + wanted.total()))


def _fields(text: str) -> Counter[tuple[str, str]]:
    try:
        return Counter(_leaves("", json.loads(text)))
    except (ValueError, RecursionError):
        return Counter()


def _leaves(path: str, node: Any) -> Iterator[tuple[str, str]]:
    match node:
        case dict():
            for key, value in node.items():
                yield from _leaves(f"{path}.{key}", value)
        case list():
            for value in node:
                yield from _leaves(f"{path}[]", value)
        case _:
            yield path, json.dumps(node)
