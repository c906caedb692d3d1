from concurrent.futures import ThreadPoolExecutor

import pytest

from registry.alias import UNSET
from registry.base_model import BaseModel
from registry.errors import Conflict, InvalidInput, NotFound, Refused
from registry.profile import ServingProfile
from registry.report import EvalReport
from registry.store import Registry
from registry.version import AdapterVersion
from tests.unit.registry.conftest import MakeAdapter


@pytest.fixture
def registry(either: Registry) -> Registry:
    return either


@pytest.fixture
def versions(registry: Registry, base: BaseModel, make_adapter: MakeAdapter) -> list[AdapterVersion]:
    return [registry.versions.push(make_adapter(seed), "support", actor="ada", base=base).version for seed in (1, 2, 3)]


def profile(base: BaseModel, context_length: int = 1024) -> ServingProfile:
    return ServingProfile(
        base_name=base.name,
        base_fingerprint=base.fingerprint,
        quantization=base.quantization,
        engine="vllm",
        engine_version="1",
        device="cpu",
        dtype="bfloat16",
        kv_cache_dtype="auto",
        context_length=context_length,
        chat_template_digest="",
    )


def report(version: AdapterVersion, on: ServingProfile, *failures: str, suite: str = "sha256:aa") -> EvalReport:
    return EvalReport(
        version_digest=version.digest,
        profile_fingerprint=on.fingerprint,
        suite_name="tickets",
        suite_digest=suite,
        items=0,
        adapter={},
        base={},
        gain={},
        failures=failures,
        results=(),
    )


def test_prod_needs_a_passing_report_for_the_profile_that_serves(
    registry: Registry, base: BaseModel, versions: list[AdapterVersion]
) -> None:
    def promote() -> str:
        return str(registry.aliases.promote("support:1", "prod", actor="ada"))

    with pytest.raises(Refused, match="nothing has served"):
        promote()
    registry.profiles.add(profile(base))
    registry.reports.add(report(versions[0], profile(base, context_length=9)))
    with pytest.raises(Refused, match="no report for the profile"):
        promote()
    registry.reports.add(report(versions[0], profile(base), "too bad"))
    with pytest.raises(Refused, match="failed"):
        promote()
    registry.reports.add(report(versions[0], profile(base)))
    assert promote() == "support@prod"
    registry.reports.add(report(versions[0], profile(base), "too bad", suite="sha256:bb"))
    with pytest.raises(Refused, match="failed"):
        promote()
    assert registry.versions.get("support") == versions[0]


def test_force_needs_a_reason_and_is_remembered(registry: Registry, versions: list[AdapterVersion]) -> None:
    with pytest.raises(InvalidInput, match="needs a reason"):
        registry.aliases.promote("support:1", "prod", actor="ada", force=True)
    registry.aliases.promote("support:1", "prod", actor="ada", force=True, reason="the site is down")
    (move,) = registry.aliases.history("support")
    assert (move.forced, move.reason, move.digest) == (True, "the site is down", versions[0].digest)


def test_rolling_back_twice_goes_back_twice(registry: Registry, versions: list[AdapterVersion]) -> None:
    for version in versions:
        registry.aliases.promote(str(version), "canary", actor="ada")
    assert registry.aliases.rollback("support", "canary", actor="bob").number == 2
    assert registry.aliases.rollback("support", "canary", actor="bob").number == 1
    with pytest.raises(Refused, match="nothing to go back to"):
        registry.aliases.rollback("support", "canary", actor="bob")
    assert registry.aliases.rollback("support", "canary", actor="bob", to=3).number == 3


def test_rollback_goes_only_where_the_alias_was(registry: Registry, versions: list[AdapterVersion]) -> None:
    with pytest.raises(NotFound, match="no alias canary"):
        registry.aliases.rollback("support", "canary", actor="bob")
    registry.aliases.promote(str(versions[0]), "canary", actor="ada")
    with pytest.raises(Refused, match="never named version 2"):
        registry.aliases.rollback("support", "canary", actor="bob", to=2)


def test_history_is_a_hash_chain(registry: Registry, versions: list[AdapterVersion]) -> None:
    for version in versions:
        registry.aliases.promote(str(version), "canary", actor="ada")
    registry.aliases.rollback("support", "canary", actor="bob", reason="worse")
    moves = registry.aliases.history("support")
    assert [move.parent for move in moves] == ["", *(move.hash for move in moves[:-1])]
    assert [(move.kind, move.previous, move.number) for move in moves] == [
        ("promote", None, 1),
        ("promote", 1, 2),
        ("promote", 2, 3),
        ("rollback", 3, 2),
    ]


def test_of_two_that_race_one_wins_and_one_hears_why(registry: Registry, versions: list[AdapterVersion]) -> None:
    def move(version: AdapterVersion, expected: str) -> Conflict | None:
        try:
            registry.aliases.promote(str(version), "canary", actor="ada", expected=expected)
        except Conflict as error:
            return error
        return None

    for expected in (UNSET, None):
        seen = expected or registry.aliases.list("support")[0].tag
        with ThreadPoolExecutor(3) as pool:
            outcomes = list(pool.map(move, versions, [seen] * 3))
        assert outcomes.count(None) == 1
        number = versions[outcomes.index(None)].number
        assert registry.aliases.list("support")[0].number == number
        lost = next(error for error in outcomes if error)
        assert lost.message.startswith(f"support@canary was moved meanwhile: it names version {number} since ")
    assert len(registry.aliases.history("support")) == 2


@pytest.mark.usefixtures("versions")
def test_a_tag_is_another_one_after_every_move(registry: Registry) -> None:
    first = registry.aliases.promote("support:1", "canary", actor="ada", expected=UNSET)
    assert registry.aliases.list("support") == [first]
    registry.aliases.promote("support:2", "canary", actor="ada", expected=first.tag)
    back = registry.aliases.rollback("support", "canary", actor="ada")
    assert (back.number, back.tag == first.tag) == (1, False)
    with pytest.raises(Conflict):
        registry.aliases.rollback("support", "canary", actor="ada", expected=first.tag)
    assert registry.aliases.rollback("support", "canary", actor="ada", to=2, expected=back.tag).number == 2
