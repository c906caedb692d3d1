"""Releases in the registry: who may start one, what ends it, and what the history says then."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from registry.alias import Move
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import Conflict, InvalidInput, NotFound, Refused
from registry.release import CANARY, PROMOTED, ROLLED_BACK, RUNNING, SHADOW, STOPPED, WATCH, Plan, Release
from registry.store import Registry
from registry.tally import CANDIDATE, CURRENT, Tally
from registry.version import AdapterVersion
from tests.unit.registry.test_aliases import versions

if TYPE_CHECKING:
    from tests.unit.registry.served import Served

__all__ = ["versions"]  # a fixture

ALIAS = "live"


@pytest.fixture
def registry_with_alias(registry: Registry, versions: list[AdapterVersion]) -> Registry:
    registry.aliases.promote(str(versions[0]), ALIAS, actor="ada")
    return registry


@pytest.fixture
def remote(registry_with_alias: Registry, open_server: "Served") -> Iterator[Registry]:
    """The same through a server."""
    from registry.remote.registry import RemoteRegistry

    assert isinstance(registry_with_alias, EmbeddedRegistry)
    open_server.put(registry_with_alias)
    opened = RemoteRegistry(open_server.url)
    yield opened
    opened.close()


def answers(requests: int, errors: int = 0) -> Tally:
    return Tally({"requests": requests, "errors": errors})


def counted(candidate: Tally, current: Tally | None = None) -> dict[str, Tally]:
    return {CURRENT: current or answers(1000), CANDIDATE: candidate}


def last(registry: Registry) -> Move:
    return registry.aliases.history("support")[-1]


def at(registry: Registry) -> int:
    return registry.aliases.list("support")[0].number


@pytest.mark.usefixtures("versions")
def test_a_canary_needs_something_to_be_compared_with(registry: Registry) -> None:
    with pytest.raises(NotFound, match="no alias live yet"):
        registry.releases.start("support:2", ALIAS, Plan(), actor="ada")
    registry.aliases.promote("support:1", ALIAS, actor="ada")
    with pytest.raises(Conflict, match="support:1 already"):
        registry.releases.start("support:1", ALIAS, Plan(), actor="ada")
    release = registry.releases.start("support:2", ALIAS, Plan(weight=0.25), actor="ada", reason="shorter answers")
    assert registry.releases.list(running=True) == [release]
    assert (release.current, release.candidate, at(registry)) == (1, 2, 1)
    with pytest.raises(Conflict, match="under way"):
        registry.releases.start("support:3", ALIAS, Plan(), actor="ada")
    move = last(registry)
    assert (move.kind, move.number) == ("release", 1)
    assert move.reason == "canary of support:2 at 0.25: shorter answers"
    assert registry.events.after(0)[-1].payload["candidate"] == 2


@pytest.mark.parametrize(
    "wrong", [{"weight": 1.1}, {"kind": "party"}, {"then": "panic"}, {"seconds": 0}, {"keep_texts": 101}]
)
def test_a_plan_that_cannot_be_followed(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        Plan(**wrong)  # type: ignore[arg-type]


@pytest.mark.usefixtures("versions")
def test_the_gate_stands_before_prod_but_not_before_shadows(registry: Registry) -> None:
    registry.aliases.promote("support:1", "prod", actor="ada", force=True, reason="first")
    with pytest.raises(Refused, match="no report"):
        registry.releases.start("support:2", "prod", Plan(), actor="ada")
    with pytest.raises(InvalidInput, match="needs a reason"):
        registry.releases.start("support:2", "prod", Plan(), actor="ada", force=True)
    registry.releases.start("support:2", "prod", Plan(kind=SHADOW), actor="ada")
    with pytest.raises(Refused, match="no report"):
        registry.releases.promote("support", "prod", actor="ada")
    registry.releases.stop("support", "prod", actor="ada")
    registry.releases.start("support:2", "prod", Plan(), actor="ada", force=True, reason="urgent")
    registry.releases.promote("support", "prod", actor="bob", reason="looks good")
    assert (last(registry).kind, last(registry).number, last(registry).forced) == ("promote", 2, True)


def test_a_burst_of_errors_rolls_back_and_the_history_says_why(registry_with_alias: Registry) -> None:
    registry = registry_with_alias
    release = registry.releases.start("support:2", ALIAS, Plan(), actor="ada")
    assert registry.releases.report(release.id, counted(answers(40, 2))).running
    ended = registry.releases.report(release.id, counted(answers(20, 12)))
    assert ended == registry.releases.get("support", ALIAS)
    assert (ended.state, at(registry)) == (ROLLED_BACK, 1)
    assert "failed requests: 23.3% in 60 samples, current 0.0%" in ended.verdict
    move = last(registry)
    assert (move.kind, move.actor, move.previous, move.number) == ("reject", "adaptory", 1, 1)
    assert move.reason == f"the canary {release.id} of support:2: {ended.verdict}"
    event = registry.events.after(0)[-1]
    assert (event.kind, event.payload["state"], event.payload["verdict"]) == ("release", ROLLED_BACK, ended.verdict)
    assert registry.verification.run() == []
    assert registry.releases.report(release.id, counted(answers(5))) == ended  # too late
    assert registry.releases.counts(release.id)[CANDIDATE]["requests"] == 60
    registry.releases.start("support:3", ALIAS, Plan(), actor="ada")


def test_undo_does_not_trip_over_a_release(registry_with_alias: Registry) -> None:
    registry = registry_with_alias
    registry.aliases.promote("support:2", ALIAS, actor="ada")
    release = registry.releases.start("support:3", ALIAS, Plan(), actor="ada")
    registry.releases.report(release.id, counted(answers(50, 50)))
    assert registry.aliases.rollback("support", ALIAS, actor="ada").number == 1


def test_a_watch_goes_back_to_the_version_before(registry_with_alias: Registry) -> None:
    registry = registry_with_alias
    release = registry.releases.start("support:2", ALIAS, Plan(kind=WATCH, weight=1, seconds=600), actor="ada")
    assert (at(registry), release.state) == (2, RUNNING)
    with pytest.raises(InvalidInput, match="has moved already"):
        registry.releases.weigh("support", ALIAS, 0.5, actor="ada")
    ended = registry.releases.report(release.id, counted(answers(60, 30)))
    assert (ended.state, at(registry), last(registry).kind) == (ROLLED_BACK, 1, "rollback")
    assert "failed requests" in last(registry).reason


def test_a_server_that_cannot_serve_the_candidate_ends_it(registry_with_alias: Registry) -> None:
    registry = registry_with_alias
    release = registry.releases.start("support:2", ALIAS, Plan(), actor="ada")
    ended = registry.releases.report(release.id, {}, failure="http://here:1 cannot serve it: it changes nothing.")
    assert (ended.state, at(registry)) == (ROLLED_BACK, 1)
    assert "it changes nothing" in last(registry).reason


def test_of_many_reports_that_cross_a_limit_one_decides(registry_with_alias: Registry) -> None:
    registry = registry_with_alias
    release = registry.releases.start("support:2", ALIAS, Plan(kind=WATCH, weight=1), actor="ada")
    before = len(registry.aliases.history("support"))
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda _: registry.releases.report(release.id, counted(answers(60, 60))), range(8)))
    assert {end.state for end in ends} == {ROLLED_BACK}
    assert len({end.ended for end in ends}) == 1
    assert len(registry.aliases.history("support")) == before + 1
    assert registry.verification.run() == []


def test_when_its_time_is_over(registry_with_alias: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = registry_with_alias
    for kind, then, requests, state, number in (
        (CANARY, "promote", 60, PROMOTED, 2),
        (CANARY, "promote", 40, STOPPED, 1),
        (CANARY, "stop", 60, STOPPED, 1),
        (SHADOW, "promote", 60, PROMOTED, 2),
        (WATCH, "stop", 60, PROMOTED, 2),
        (WATCH, "stop", 0, PROMOTED, 2),
    ):
        if at(registry) != 1:
            registry.aliases.promote("support:1", ALIAS, actor="ada")
        plan = Plan(kind=kind, weight=1, seconds=1800, then=then)
        release = registry.releases.start("support:2", ALIAS, plan, actor="ada")
        assert registry.releases.report(release.id, counted(answers(requests))).running
        later = release.started + timedelta(seconds=1801)
        with monkeypatch.context() as clock:
            clock.setattr("registry.embedded.releases.now", lambda later=later: later)
            ended = registry.releases.report(release.id, {})
        assert (ended.state, at(registry)) == (state, number), (kind, then, requests)
        assert ended.due(later) is False


def test_a_move_by_hand_ends_it(registry_with_alias: Registry) -> None:
    registry = registry_with_alias
    for ref, state in (("support:3", STOPPED), ("support:1", PROMOTED)):
        release = registry.releases.start("support:1" if ref == "support:1" else "support:2", ALIAS, Plan(), actor="a")
        registry.aliases.promote(ref, ALIAS, actor="bob")
        ended = registry.releases.get("support", ALIAS)
        assert (ended.id, ended.state, ended.verdict) == (release.id, state, f"bob moved support@live to {ref}.")
    with pytest.raises(NotFound, match="under way"):
        registry.releases.stop("support", ALIAS, actor="ada")


def test_weights_change_and_texts_are_few(registry_with_alias: Registry) -> None:
    registry = registry_with_alias
    release = registry.releases.start("support:2", ALIAS, Plan(kind=SHADOW, keep_texts=2), actor="ada")
    assert registry.releases.weigh("support", ALIAS, 0.5, actor="ada").plan.weight == 0.5
    for number in range(3):
        pair = {"current": "x" * 9000, "candidate": str(number)}
        registry.releases.report(release.id, {}, texts=[pair])
    assert [pair["candidate"] for pair in registry.releases.texts(release.id)] == ["1", "2"]
    assert len(registry.releases.texts(release.id)[0]["current"]) == 4000
    assert Release.from_json(release.to_json()) == release


def test_old_minutes_are_put_together(registry_with_alias: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = registry_with_alias
    release = registry.releases.start("support:2", ALIAS, Plan(), actor="ada")
    for minute in range(40):
        later = release.started + timedelta(minutes=minute)
        monkeypatch.setattr("registry.embedded.releases.now", lambda later=later: later)
        registry.releases.report(release.id, counted(answers(1)))
    with registry._database.read() as connection:  # type: ignore[attr-defined]
        rows = connection.exec_driver_sql("select count(*) from release_counts").scalar()
    assert rows <= 2 * 17
    assert registry.releases.counts(release.id)[CANDIDATE] == answers(40)
    assert replace(release, state=STOPPED).due(release.started) is False


def test_it_all_goes_through_a_server(remote: Registry) -> None:
    room, plan = remote.releases, Plan(kind=SHADOW, seconds=60, keep_texts=2)
    release = room.start("support:2", ALIAS, plan, actor="ignored", reason="why not")
    assert (release.plan, release.actor) == (plan, "anonymous")
    assert room.list(running=True) == room.list("support") == [room.get("support", ALIAS)] == [release]
    assert room.weigh("support", ALIAS, 0.5, actor="").plan.weight == 0.5
    seen = answers(20, 1)
    seen.observe("seconds", 0.5)
    assert room.report(release.id, {CANDIDATE: seen}, texts=[{"current": "a", "candidate": "b"}]).running
    assert room.counts(release.id)[CANDIDATE] == seen
    assert room.texts(release.id) == [{"current": "a", "candidate": "b"}]
    assert room.stop("support", ALIAS, actor="", reason="enough").verdict == "anonymous stopped it: enough"
    with pytest.raises(NotFound, match="under way"):
        room.promote("support", ALIAS, actor="")
    with pytest.raises(NotFound, match="There is no release"):
        room.report("0" * 12, {})
    with pytest.raises(InvalidInput):
        room.report(release.id, {"current": _forged()})
    with pytest.raises(InvalidInput):
        room.report(release.id, {"nobody": Tally()})


def _forged() -> Tally:
    tally = Tally()
    tally.counts["requests"] = -1
    return tally


def test_what_a_release_needs_cannot_be_deleted(registry_with_alias: Registry) -> None:
    registry = registry_with_alias
    registry.releases.start("support:2", ALIAS, Plan(kind=WATCH, weight=1), actor="ada")
    with pytest.raises(Refused, match=r"support:1 cannot be deleted: the watch \w+ of support:2 is under way"):
        registry.deletions.mark("support:1", actor="ada", reason="old")
