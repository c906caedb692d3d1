"""Releases through the real gateway: who answers, what is counted, and how a bad candidate goes by itself."""

import asyncio
import math
from pathlib import Path
from typing import Any

import pytest

from registry.api_key import Limits
from registry.base_model import BaseModel
from registry.errors import Unavailable
from registry.release import CANARY, PROMOTED, ROLLED_BACK, SHADOW, WATCH
from registry.tally import CANDIDATE, CURRENT, PAIRS
from registry.times import now
from serve.watching.scrape import Interval, Scrape
from serve.watching.top import View
from tests.unit.serve.gateway_parts import Gateway, ask, gateway
from tests.unit.serve.release_parts import (
    BREAKS,
    JSON_ANSWER,
    House,
    Manner,
    by_version,
    candidate_ready,
    chat,
    fails,
    many,
    says,
    serving,
    until,
)

MODEL = "demo@live"
WANTS_JSON = {"response_format": {"type": "json_object"}}


def test_users_are_divided_by_weight_and_stay_where_they_are(house: House) -> None:
    def answered(weight: float, number: int) -> set[int]:
        """Users that the candidate answers."""
        house.registry.releases.weigh("demo", "live", weight, actor="ada")
        catalogue = house.opened.replica.catalogue
        catalogue.merge(catalogue.read())
        target = catalogue.find(MODEL)
        routes = [house.opened.replica.desk.route(MODEL, target, f"user-{user}") for user in range(number)]
        assert all((route.arm == CANDIDATE) is (route.spare == target) for route in routes)
        return {user for user, route in enumerate(routes) if route.arm == CANDIDATE}

    async def story() -> None:
        house.start()
        assert not answered(1, 100)  # it is not ready yet
        await candidate_ready(house.opened)
        few, more = answered(0.1, 2000), answered(0.4, 2000)
        for weight, users in ((0.1, few), (0.4, more)):
            assert abs(len(users) - 2000 * weight) <= 4 * math.sqrt(2000 * weight * (1 - weight))  # standard deviations
        assert few < more
        assert not answered(0, 100)
        assert len(answered(1, 100)) == 100
        half = answered(0.5, 12)
        replies = await many(house.opened, MODEL, 12)
        assert {user for user, reply in enumerate(replies) if reply.headers["x-adaptory-version"] == "demo:2"} == half
        assert by_version(await many(house.opened, "demo:1", 4)) == {"demo:1": 4}  # who names a version gets it
        for named in ({"headers": [(b"x-adaptory-session", b"one")]}, {"safety_identifier": "two"}, {"user": "three"}):
            assert len(by_version([await chat(house.opened, MODEL, **named) for _ in range(6)])) == 1

    house.run(story)


@pytest.mark.parametrize(("manner", "stream"), [(fails, False), (says(BREAKS), True)])
def test_a_candidate_that_fails_is_rolled_back_and_no_client_notices(
    house: House, manner: Manner, stream: bool
) -> None:
    house.engine.teach(house.new, manner)

    async def story() -> None:
        release = house.start()
        await candidate_ready(house.opened)
        replies = await many(house.opened, MODEL, 50, stream=stream)
        assert {reply.status for reply in replies} == {200}
        assert by_version(replies) == {"demo:1": 50}
        assert house.engine.times(house.new) >= 10
        await house.report()
        assert house.release.state == ROLLED_BACK
        assert "failed requests: 100.0%" in house.registry.aliases.history("demo")[-1].reason
        asked = house.engine.times(house.new)
        await many(house.opened, MODEL, 10)
        assert house.engine.times(house.new) == asked
        assert house.opened.replica.desk.ledger.totals == {}
        assert (house.release.id, house.registry.aliases.list("demo")[0].number) == (release.id, 1)

    house.run(story)


def test_a_candidate_that_cannot_be_loaded_harms_nobody(house: House) -> None:
    house.engine.refuse(house.new)

    async def story() -> None:
        house.start()
        await house.opened.replica.catalogue.look()
        assert by_version(await many(house.opened, MODEL, 10)) == {"demo:1": 10}
        await until(lambda: house.opened.replica.desk.router.failures)
        await house.report()
        assert house.release.state == ROLLED_BACK
        assert "demo:2 cannot be served: The engine cannot load this adapter: no such shape" in house.release.verdict
        assert by_version(await many(house.opened, MODEL, 10)) == {"demo:1": 10}

    house.run(story)


@pytest.mark.parametrize("stream", [False, True])
def test_answers_that_are_no_json_roll_it_back(house: House, stream: bool) -> None:
    house.engine.teach(house.new, says("Springfield, of course."))

    async def story() -> None:
        house.start()
        await candidate_ready(house.opened)
        replies = await many(house.opened, MODEL, 50, stream=stream, **(WANTS_JSON if stream else {}))
        assert {reply.status for reply in replies} == {200}
        await house.report()
        assert house.release.state == ROLLED_BACK
        assert f"it was {'demanded' if stream else 'not demanded'}: 0.0%" in house.release.verdict
        counts, kind = house.registry.releases.counts(house.release.id), "asked" if stream else "free"
        assert counts[CANDIDATE][f"{kind}_json"] == 0
        assert counts[CURRENT][f"{kind}_json"] == counts[CURRENT][kind] > 0
        assert counts[CURRENT].observed("first") == (counts[CURRENT]["requests"] if stream else 0)

    house.run(story)


def test_a_good_candidate_is_promoted_when_its_time_is_over(house: House) -> None:
    async def story() -> None:
        house.start(seconds=0.5, then="promote")
        await candidate_ready(house.opened)
        await many(house.opened, MODEL, 50)
        await until(lambda: house.release.due(now()))
        await house.report()
        assert house.release.state == PROMOTED
        await until(lambda: house.opened.replica.catalogue.find(MODEL).version == house.new)
        assert by_version(await many(house.opened, MODEL, 10)) == {"demo:2": 10}

    house.run(story)


def test_a_promotion_that_is_watched_goes_back_by_itself(house: House) -> None:
    house.engine.teach(house.new, says("Springfield, of course."))

    async def story() -> None:
        await many(house.opened, MODEL, 88)  # every eighth answer is read
        await house.report()
        house.start(kind=WATCH, weight=1, seconds=600)
        await until(lambda: house.opened.replica.catalogue.find(MODEL).version == house.new)
        assert by_version(await many(house.opened, MODEL, 20)) == {"demo:2": 20}
        await house.report()
        assert house.release.state == ROLLED_BACK
        assert "not demanded: 0.0%" in house.release.verdict
        await until(lambda: house.opened.replica.catalogue.find(MODEL).version == house.old)
        assert by_version(await many(house.opened, MODEL, 10)) == {"demo:1": 10}

    house.run(story)


def test_a_shadow_is_compared_and_costs_its_client_nothing(house: House, base: BaseModel, tmp_path: Path) -> None:
    key = house.registry.keys.create("ci", actor="test", limits=Limits(tokens_per_minute=1000)).token
    house.engine.teach(house.new, says("no JSON at all"))

    async def story(opened: Gateway) -> None:
        house.start(kind=SHADOW, weight=1, keep_texts=2)
        async with serving(opened, house.folder, house.engine):
            await candidate_ready(opened)
            shadow = asyncio.create_task(opened.replica.desk.shadow.run())
            for _ in range(3):
                reply = await chat(opened, MODEL, key=key)
                assert reply.headers["x-adaptory-version"] == "demo:1"
            await until(lambda: house.engine.times(house.new) == 3)
            await until(lambda: len(opened.replica.desk.shadow.texts.get(house.release.id, [])) == 3)
            shadow.cancel()
            last = await chat(opened, MODEL, key=key)
            assert int(last.headers["x-ratelimit-remaining-tokens"]) >= 1000 - 3 * 8
            await many(opened, MODEL, 12, key=key)  # nobody asks their copies
            await opened.replica.desk.report()
            await opened.access.accounting.flush()
        counts = house.registry.releases.counts(house.release.id)
        assert (counts[PAIRS]["both"], counts[PAIRS]["same"], counts[PAIRS]["json_lost"]) == (3, 0, 3)
        assert counts[PAIRS]["dropped"] == 5
        assert counts[PAIRS].observed("seconds_ratio") == 3
        assert (counts[CANDIDATE]["requests"], counts[CURRENT]["requests"]) == (3, 16)
        (kept, _) = house.registry.releases.texts(house.release.id)
        assert (kept["current"], kept["candidate"]) == (JSON_ANSWER, "no JSON at all")
        (row,) = house.registry.usage.list()
        assert (row.number, row.requests) == (1, 16)
        shadows = [body for body in house.engine.bodies if body["model"].endswith(house.new.digest[7:])]
        assert all(body["stream"] is False for body in shadows)

    with gateway(house.registry, base, tmp_path / "k", keys=True) as opened:
        opened.run(story(opened))


def test_two_servers_make_one_decision_and_both_follow(house: House, base: BaseModel, tmp_path: Path) -> None:
    house.engine.teach(house.new, fails)

    async def story(opened: Gateway) -> None:
        async with serving(opened, opened.options.logs, house.engine):
            await candidate_ready(opened)
            await many(opened, MODEL, 50)

    async def after(opened: Gateway) -> None:
        await opened.replica.desk.report()
        await opened.replica.catalogue.look()
        assert not opened.replica.desk.router.running()

    with gateway(house.registry, base, tmp_path / "other", keys=False) as other:
        house.start()
        for opened in (house.opened, other):
            opened.run(story(opened))
        for opened in (house.opened, other):
            opened.run(after(opened))
    assert [move.kind for move in house.registry.aliases.history("demo")] == ["promote", "release", "reject"]
    assert house.registry.releases.counts(house.release.id)[CANDIDATE]["requests"] >= 10


@pytest.mark.parametrize("added", [False, True])
def test_what_is_counted_while_nobody_answers_is_added_once(
    house: House, monkeypatch: pytest.MonkeyPatch, added: bool
) -> None:
    report, pair = house.registry.releases.report, {"current": "yes", "candidate": "no"}

    def unheard(*arguments: Any, **named: Any) -> None:
        if added:
            report(*arguments, **named)
        raise Unavailable("The registry's database does not answer.")

    async def story() -> None:
        release = house.start(keep_texts=4)
        await candidate_ready(house.opened)
        texts = house.opened.replica.desk.shadow.texts
        with monkeypatch.context() as patched:
            patched.setattr(house.registry.releases, "report", unheard)
            for _ in range(2):
                texts.setdefault(release.id, []).append(pair)
                await many(house.opened, MODEL, 15)
                await house.report()
        await many(house.opened, MODEL, 10)
        await house.report()
        await house.report()
        assert house.registry.releases.texts(release.id) == [pair, pair]
        counts = house.registry.releases.counts(release.id)
        assert counts[CURRENT]["requests"] + counts[CANDIDATE]["requests"] == 40
        assert house.release.running

    house.run(story)


def test_a_release_is_seen(house: House) -> None:
    async def story() -> None:
        release = house.start()
        await candidate_ready(house.opened)
        await many(house.opened, MODEL, 10)
        await house.report()
        listed = (await ask(house.opened.app, "GET", "/v1/models", [], b"")).json["data"]
        (entry,) = [entry for entry in listed if entry["id"] == MODEL]
        assert entry["adaptory"]["release"] == {
            "id": release.id, "kind": CANARY, "candidate": "demo:2", "weight": 0.5, "ready": True,
        }  # fmt: skip
        scrape = Scrape.parse((await ask(house.opened.app, "GET", "/metrics", [], b"")).body.decode(), 0.0)
        assert scrape.total("release", alias=MODEL, what="requests") == 10
        assert scrape.total("release", alias=MODEL, what="ready") == 1
        aliases = {row.adapter: row.aliases for row in View.of(Interval(scrape, scrape), listed).rows}
        assert (aliases["demo:1"], aliases["demo:2"]) == (("live",), ("live canary 50%",))
        house.registry.releases.stop("demo", "live", actor="ada")
        await house.opened.replica.catalogue.look()
        body = (await ask(house.opened.app, "GET", "/metrics", [], b"")).body
        assert b"adaptory_release{" not in body

    house.run(story)
