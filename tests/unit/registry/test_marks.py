"""What people say of versions, and finding them again by it."""

import json
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.base_model import BaseModel
from registry.deprecation import Deprecation
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import InvalidInput
from registry.report import EvalReport, Score
from registry.search import Condition, Query, search
from registry.tags import MAX_TAGS, parse_tags
from tests.unit.registry.conftest import MakeAdapter
from tests.unit.registry.test_replicas import run


@pytest.fixture
def pushed(registry: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter) -> EmbeddedRegistry:
    for seed in (1, 2):
        registry.versions.push(make_adapter(seed), "support", actor="ada", base=base, note=f"Try {seed}")
    registry.versions.push(make_adapter(3), "team/tickets", actor="ada", base=base)
    return registry


def found(registry: EmbeddedRegistry, **asked: object) -> list[str]:
    return [str(one.version) for one in search(registry, Query(**asked))]  # type: ignore[arg-type]


def test_a_deprecated_version_is_served_and_everyone_says_so(pushed: EmbeddedRegistry) -> None:
    mark = pushed.marks.deprecate("support:1", actor="ada", reason="use support:2")
    assert pushed.marks.deprecations() == pushed.marks.deprecations("support") == [mark]
    assert Deprecation.from_json(mark.to_json()) == mark
    assert pushed.versions.get("support:1").number == 1
    assert pushed.aliases.promote("support:1", "canary", actor="ada").number == 1
    assert "deprecated: use support:2" in run(pushed, "list").stdout
    assert "use support:2 (ada" in run(pushed, "show", "support:1").stdout
    assert json.loads(run(pushed, "show", "support:1", "--json").stdout)["deprecated"]["reason"] == "use support:2"
    assert json.loads(run(pushed, "list", "support", "--json").stdout)[0]["deprecated"]["actor"] == "ada"
    assert run(pushed, "deprecate", "support:1", "--undo").exit_code == 0
    assert pushed.marks.deprecations() == []
    assert run(pushed, "deprecate", "support:1").exit_code == 2
    assert run(pushed, "deprecate", "support:1", "--reason", "x" * 1001).exit_code == 2


def test_tags_are_set_changed_and_bounded(pushed: EmbeddedRegistry) -> None:
    assert run(pushed, "tag", "support:1", "team=a", "goal=fast").exit_code == 0
    assert json.loads(run(pushed, "tag", "support:1", "team=b", "--remove", "goal", "--json").stdout) == {"team": "b"}
    assert "team" in run(pushed, "tag", "support:1").stdout
    assert "team=b" in run(pushed, "show", "support:1").stdout
    many = {f"t{index}": "" for index in range(MAX_TAGS)}
    with pytest.raises(InvalidInput, match="64 tags at most"):
        pushed.marks.tag("support:1", many, actor="ada")
    for bad in ("Team=a", "=a", "a", "a=" + "x" * 257, "a=\n"):
        assert run(pushed, "tag", "support:1", bad).exit_code == 2
    assert pushed.marks.tags() == {("support", 1): {"team": "b"}}


@given(st.text(max_size=300))
def test_any_text_is_tags_or_one_line(text: str) -> None:
    try:
        ((key, value),) = parse_tags([text]).items()
    except InvalidInput as error:
        assert "\n" not in error.message
    else:
        assert f"{key}={value}" == text


def test_versions_are_found_by_everything_at_once(pushed: EmbeddedRegistry) -> None:
    pushed.marks.tag("support:2", {"team": "a"}, actor="ada")
    pushed.marks.deprecate("support:1", actor="ada", reason="old")
    pushed.aliases.promote("support:2", "canary", actor="ada")
    score = Score(mean=0.8, low=0.7, high=0.9)
    pushed.reports.add(
        EvalReport(
            version_digest=pushed.versions.get("support:2").digest, profile_fingerprint="sha256:aa", suite_name="s",
            suite_digest="sha256:bb", items=1, adapter={"field_f1": score}, base={"field_f1": score},
            gain={"field_f1": score}, failures=(), results=(),
        )
    )  # fmt: skip
    assert found(pushed) == ["support:1", "support:2", "team/tickets:1"]
    assert found(pushed, text="SUPPORT try") == ["support:1", "support:2"]
    assert found(pushed, text="team=a") == found(pushed, tags={"team": "a"}) == ["support:2"]
    assert found(pushed, base="other") == []
    assert found(pushed, alias="") == found(pushed, alias="canary") == ["support:2"]
    assert found(pushed, alias="prod") == []
    assert found(pushed, deprecated=True) == ["support:1"]
    assert found(pushed, deprecated=False) == ["support:2", "team/tickets:1"]
    for bound, fits in (("field_f1>=0.8", True), ("field_f1>0.8", False), ("field_f1 <= 1e0", True), ("x=0.8", False)):
        assert found(pushed, conditions=(Condition.parse(bound),)) == (["support:2"] if fits else [])
    for bad in ("field_f1", "field_f1~1", ">=1", "a>=b", "a>=--1"):
        assert run(pushed, "search", "--metric", bad).exit_code == 2
    (one,) = json.loads(run(pushed, "search", "--metric", "field_f1>=0.5", "-t", "team=a", "--json").stdout)
    assert (one["version"], one["metrics"]["field_f1"], one["aliases"]) == (2, 0.8, ["canary"])
    assert "0.8" in run(pushed, "search", "support", "--metric", "field_f1>=0.5").stdout


def test_history_tells_what_an_alias_named_on_a_day(pushed: EmbeddedRegistry) -> None:
    for number in (1, 2):
        pushed.aliases.promote(f"support:{number}", "canary", actor="ada")
    first, second = pushed.aliases.history("support")
    day, before = f"{second.moved:%Y-%m-%d}", first.moved - timedelta(days=2)
    (then,) = json.loads(run(pushed, "history", "support@canary", "--on", day, "--json").stdout)
    assert then["number"] == 2
    (then,) = json.loads(run(pushed, "history", "support", "--on", first.moved.isoformat(), "--json").stdout)
    assert then["number"] == 1
    missing = run(pushed, "history", "support@canary", "--on", f"{before:%Y-%m-%d}")
    assert (missing.exit_code, missing.stderr.startswith("Error: support@canary named nothing on")) == (2, True)
    for impossible in ("yesterday", "9999-12-31"):
        assert run(pushed, "history", "support@canary", "--on", impossible).exit_code == 2
    (then,) = json.loads(run(pushed, "history", "support@canary", "--on", f"{second.moved:%Y%m%d}", "--json").stdout)
    assert then["number"] == 2
    assert len(json.loads(run(pushed, "history", "support@canary", "--json").stdout)) == 2


def test_a_push_whose_alias_is_refused_says_what_it_kept(
    pushed: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    record: dict[str, object] = {"base": {"name": base.name, "fingerprint": base.fingerprint}}
    record |= {key: {} for key in ("recipe", "data", "metrics", "code")}
    refused = run(pushed, "push", str(make_adapter(4, record=record)), "support", "--alias", "prod")
    assert (refused.exit_code, refused.stdout.split()[0]) == (1, "support:3")
    taken = run(pushed, "push", str(make_adapter(5, record=record)), "support", "--alias", "canary", "--json")
    assert json.loads(taken.stdout)["alias"] == "canary"
    assert pushed.versions.get("support@canary").number == 4
