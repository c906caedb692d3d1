"""Several engines behind one gateway: the real one, over engines that play their part."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from registry.base_model import BaseModel
from registry.store import Registry
from registry.version import AdapterVersion
from serve.adapters.residency import engine_name
from serve.pins import Pins
from serve.swap import Swaps
from tests.unit.serve.conftest import Push
from tests.unit.serve.fleet_parts import Stage, stage, until
from tests.unit.serve.gateway_parts import Gateway, gateway

Play = Callable[[Callable[[Stage], Awaitable[None]]], list[dict[str, object]]]
ROOM = 5
"""Requests that the gateway gives each engine at once here: four and a few more."""


@pytest.fixture
def play(registry: Registry, base: BaseModel, tmp_path: Path) -> Play:
    """Plays a story on two engines, and returns the access log."""

    def one(story: Callable[[Stage], Awaitable[None]]) -> list[dict[str, object]]:
        async def played(opened: Gateway) -> None:
            async with stage(opened, tmp_path) as built:
                await asyncio.wait_for(story(built), 60)

        with gateway(registry, base, tmp_path, keys=False, engines=2) as opened:
            opened.run(played(opened))
            return opened.log()

    return one


def with_home(stage: Stage, push: Push, number: int) -> AdapterVersion:
    """A new adapter whose home is this engine."""
    while True:
        version = push(f"demo-{len(list(stage.opened.registry.versions.list()))}")
        if stage.fleet.home(version.digest).number == number:
            return version


def test_an_adapter_stays_at_home_and_the_base_goes_where_there_is_room(play: Play, push: Push) -> None:
    async def story(stage: Stage) -> None:
        for number in (0, 1):
            version = with_home(stage, push, number)
            assert {await stage.where(str(version)) for _ in range(3)} == {str(number)}
            assert stage.fleet.holders(version.digest) == [stage.place(number)]
        stage.close_gates()
        asked = [asyncio.create_task(stage.where("tiny")) for _ in range(4)]
        await until(lambda: [player.computing["tiny"] for player in stage.players] == [2, 2])
        stage.open_gates()
        assert sorted(await asyncio.gather(*asked)) == ["0", "0", "1", "1"]

    log = play(story)
    assert [entry["engine"] for entry in log] == [0, 0, 0, 1, 1, 1, *(entry["engine"] for entry in log[6:])]


def test_a_home_in_which_requests_wait_is_passed_over(play: Play, push: Push) -> None:
    async def story(stage: Stage) -> None:
        version = with_home(stage, push, 0)
        await stage.where(str(version))
        stage.close_gates()
        asked = [asyncio.create_task(stage.where(str(version))) for _ in range(ROOM + 3)]
        await until(lambda: stage.players[1].computing.total() == 2)
        assert stage.place(0).load.inside == ROOM + 1  # nobody waited for the first to wait
        stage.open_gates()
        assert sorted(await asyncio.gather(*asked)) == ["0"] * (ROOM + 1) + ["1"] * 2
        assert await stage.where(str(version)) == "0"

    play(story)


def test_when_an_engine_dies_only_what_it_computed_fails(play: Play, push: Push) -> None:
    async def story(stage: Stage) -> None:
        mine, other = with_home(stage, push, 0), with_home(stage, push, 1)
        assert (await stage.where(str(mine)), await stage.where(str(other))) == ("0", "1")
        stage.close_gates()
        asked = [asyncio.create_task(stage.ask(str(mine))) for _ in range(ROOM + 1)]
        beside = asyncio.create_task(stage.where(str(other)))
        await until(lambda: stage.place(0).load.waiting == 1 and stage.players[1].computing.total() == 1)
        await stage.kill(0)
        stage.open_gates()
        replies = await asyncio.gather(*asked)
        assert sorted(reply.status for reply in replies) == [200] + [503] * ROOM
        assert all(reply.headers["retry-after"] for reply in replies if reply.status == 503)
        assert await beside == "1"
        assert await stage.where(str(mine)) == await stage.where("tiny") == "1"
        await stage.start(0)
        await until(lambda: stage.place(0).warm)
        assert engine_name(mine.digest) in stage.players[0].names  # before anybody asks
        assert await stage.where(str(mine)) == "0"
        assert stage.place(0).load.inside == stage.place(1).load.inside == 0

    play(story)


def test_only_when_every_engine_is_away_is_there_no_service(play: Play, push: Push) -> None:
    async def story(stage: Stage) -> None:
        version = with_home(stage, push, 0)
        await stage.kill(0)
        await stage.where(str(version))
        await stage.kill(1)
        reply = await stage.ask(str(version))
        assert (reply.status, reply.code, reply.headers["retry-after"]) == (503, "engine_unavailable", "2")
        await stage.start(0)
        assert await stage.where(str(version)) == "0"

    play(story)


def test_an_adapter_that_ends_its_engine_is_not_taken_to_the_next(play: Play, push: Push) -> None:
    async def story(stage: Stage) -> None:
        version, good = with_home(stage, push, 0), with_home(stage, push, 0)
        stage.players[0].deadly.add(engine_name(version.digest))
        asked = asyncio.create_task(stage.ask(str(version)))
        await stage.players[0].died.wait()
        behind = asyncio.create_task(stage.where(str(good)))  # waits for the load
        await until(lambda: stage.place(0).load.inside == 2)
        await stage.kill(0)
        assert (await asked).status == 503
        assert await behind == "1"
        assert (await stage.ask(str(version))).status == 503  # until its engine is back
        await stage.start(0)
        stage.players[0].died.clear()
        asked = asyncio.create_task(stage.ask(str(version)))
        await stage.players[0].died.wait()
        await stage.kill(0)
        assert (await asked).status == 503
        await stage.start(0)
        refused = await stage.ask(str(version))
        assert (refused.status, refused.code) == (422, "adapter_refused")
        assert stage.players[0].loads[engine_name(version.digest)] == 2
        assert not stage.players[1].loads[engine_name(version.digest)]

    play(story)


def test_an_adapter_whose_probe_ends_its_engine_is_refused_after_two_ends(play: Play, push: Push) -> None:
    async def story(stage: Stage) -> None:
        version = with_home(stage, push, 0)
        stage.players[0].fatal.add(engine_name(version.digest))
        for _ in range(2):
            assert (await stage.ask(str(version))).status == 503
            await stage.kill(0)
            await stage.start(0)
        refused = await stage.ask(str(version))
        assert (refused.status, refused.code) == (422, "adapter_refused")
        assert stage.players[0].loads[engine_name(version.digest)] == 2

    play(story)


def test_a_deadline_holds_while_an_adapter_is_loaded(play: Play, push: Push) -> None:
    async def story(stage: Stage) -> None:
        version = with_home(stage, push, 0)
        stage.players[0].deadly.add(engine_name(version.digest))  # its load takes for ever
        reply = await stage.ask(str(version), [(b"x-adaptory-timeout", b"0.2")])
        assert (reply.status, reply.code) == (504, "deadline_exceeded")
        assert stage.place(0).load.inside == 0

    play(story)


def test_a_promotion_is_over_when_every_engine_that_is_asked_has_it(play: Play, push: Push, registry: Registry) -> None:
    async def story(stage: Stage) -> None:
        one = with_home(stage, push, 0)
        two = push(one.name)
        while stage.fleet.home(two.digest).number == 1:
            two = push(one.name)
        registry.aliases.promote(str(one), "canary", actor="test")
        assert await stage.where(f"{one.name}@canary") == "0"
        await stage.place(1).prepare(one)  # it was there too in a busier hour
        registry.aliases.promote(str(two), "canary", actor="test")
        catalogue = stage.opened.replica.catalogue
        await until(lambda: catalogue.find(f"{one.name}@canary").version == two)
        assert all(engine_name(two.digest) in player.names for player in stage.players)

        three = push(one.name)
        stage.players[1].broken.add(engine_name(three.digest))
        registry.aliases.promote(str(three), "canary", actor="test")
        swaps: Swaps = stage.opened.replica.swaps
        await until(lambda: swaps.state(one.name, "canary") == "failed")
        assert "Engine 1: This adapter changes nothing" in swaps.failure(one.name, "canary")
        assert catalogue.find(f"{one.name}@canary").version == two

    play(story)


def test_pins_are_loaded_at_home_and_move_with_it(play: Play, push: Push) -> None:
    async def story(stage: Stage) -> None:
        version = with_home(stage, push, 0)
        replica = stage.opened.replica
        await replica.catalogue.look()
        pins = Pins((str(version),), replica.catalogue, stage.fleet, replica.prepare)
        for number in (0, 1):
            await pins.look()
            assert stage.fleet.holders(version.digest) == [stage.place(number)]
            assert [len(place.residency.pinned) for place in stage.fleet.places] == [1 - number, number]
            if number == 0:
                await stage.kill(0)

    play(story)


def test_what_is_said_of_the_engines(play: Play, push: Push) -> None:
    async def story(stage: Stage) -> None:
        version = with_home(stage, push, 1)
        await stage.where(str(version))
        await stage.kill(0)
        ready = await stage.told("/readyz")
        assert [(engine["engine"], engine["ready"], engine["restarts"]) for engine in ready["engines"]] == [
            (0, False, 1), (1, True, 0)]  # fmt: skip
        models = {entry["id"]: entry["adaptory"] for entry in (await stage.told("/v1/models"))["data"]}
        assert (models["tiny"]["engines"], models[str(version)]["engines"]) == ([1], [1])

    play(story)
