"""Evaluation: ask version and base the same items, grade, compare, decide."""

from collections.abc import Callable, Sequence
from typing import Any

from evals.gate import failures
from evals.graders import Grade, grade
from evals.server import Server
from evals.statistics import gain, score
from evals.suite import Suite
from registry.errors import InvalidInput
from registry.report import EvalReport, Score
from registry.version import AdapterVersion


def evaluate(
    version: AdapterVersion,
    suite: Suite,
    server: Server,
    *,
    profile: dict[str, Any],
    earlier: Sequence[EvalReport],
    concurrency: int,
    on_answer: Callable[[], None],
) -> EvalReport:
    """Score a version beside its base.

    Args:
        version: what is asked.
        suite: what to ask it.
        server: who serves it.
        profile: the server's ServingProfile as JSON, with its fingerprint.
        earlier: reports on the same suite and profile; answers are greedy, so the base's are taken from the first.
        concurrency: requests in flight.
        on_answer: called for each answer.

    Raises:
        InvalidInput: the server does not serve the base alone, and no earlier report has its answers.
        ServerAway: as ``Server.ask``.
    """
    base = profile["base_name"]
    if not earlier and not server.serves(base):
        raise InvalidInput(
            f"This server does not serve the base {base} alone, beside which {version} is scored.",
            f"adaptory serve --base {base}",
        )
    asking = {
        "profile": profile["fingerprint"],
        "max_tokens": suite.definition.max_tokens,
        "concurrency": concurrency,
        "on_answer": on_answer,
    }
    ours = server.ask(suite.items, model=str(version), digest=version.digest, **asking)
    if earlier:
        theirs = [str(result["base"]["answer"]) for result in earlier[0].results]
    else:
        theirs = server.ask(suite.items, model=base, digest=profile["base_fingerprint"], **asking)
    our_grades, their_grades = _grades(suite, ours), _grades(suite, theirs)
    adapter, gains = _scores(suite, our_grades), _gains(suite, our_grades, their_grades)
    return EvalReport(
        version_digest=version.digest,
        profile_fingerprint=profile["fingerprint"],
        suite_name=suite.definition.name,
        suite_digest=suite.digest,
        items=len(suite.items),
        adapter=adapter,
        base=_scores(suite, their_grades),
        gain=gains,
        failures=failures(suite.definition.gate, adapter, gains),
        results=_results(suite, (ours, our_grades), (theirs, their_grades)),
    )


def _grades(suite: Suite, answers: list[str]) -> list[dict[str, Grade]]:
    metrics, schema = suite.definition.metrics, suite.schema
    return [grade(answer, item.expected, metrics, schema) for item, answer in zip(suite.items, answers, strict=True)]


def _scores(suite: Suite, grades: list[dict[str, Grade]]) -> dict[str, Score]:
    return {metric: score([item[metric] for item in grades]) for metric in suite.definition.metrics}


def _gains(suite: Suite, ours: list[dict[str, Grade]], theirs: list[dict[str, Grade]]) -> dict[str, Score]:
    return {
        metric: gain([item[metric] for item in ours], [item[metric] for item in theirs])
        for metric in suite.definition.metrics
    }


def _results(
    suite: Suite, ours: tuple[list[str], list[dict[str, Grade]]], theirs: tuple[list[str], list[dict[str, Grade]]]
) -> tuple[dict[str, Any], ...]:
    def side(answer: str, grades: dict[str, Grade]) -> dict[str, Any]:
        return {"answer": answer} | {metric: [grade.hits, grade.possible] for metric, grade in grades.items()}

    rows = zip(suite.items, zip(*ours, strict=True), zip(*theirs, strict=True), strict=True)
    return tuple(
        {"id": item.id, "prompt": item.messages[-1]["content"], "expected": item.expected,
         "adapter": side(*our), "base": side(*their)}
        for item, our, their in rows
    )  # fmt: skip
