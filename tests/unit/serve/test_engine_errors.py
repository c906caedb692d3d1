"""What the gateway makes of an engine that fails, and which seconds it counts as the engine's."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from registry.errors import InvalidInput
from registry.release import SHADOW
from registry.tally import CANDIDATE, PAIRS
from registry.version import AdapterVersion
from serve.release.said import Transcript
from serve.release.shadow import Copy
from serve.turns.demand import Demand
from serve.watching.scrape import Scrape
from tests.unit.serve.gateway_parts import ask
from tests.unit.serve.release_parts import (
    BREAKS,
    CHAT,
    Engine,
    House,
    by_version,
    candidate_ready,
    chat,
    many,
    says,
)

MODEL = "demo@live"


def test_a_404_that_is_not_about_the_model_is_the_clients(house: House) -> None:
    async def story() -> None:
        residency = house.opened.replica.fleet.places[0].residency
        house.engine.teach(house.old, lambda _: (404, "Response with id 'resp_1' not found."))
        reply = await chat(house.opened, MODEL, previous_response_id="resp_1")
        assert (reply.status, reply.json["error"]["param"]) == (404, "response_id")
        assert house.old.digest in residency
        assert not house.opened.replica.desk._observed  # a client's mistake
        house.engine.teach(house.old, lambda _: (404, "The model `x` does not exist."))
        assert (await chat(house.opened, MODEL)).status == 503
        assert house.old.digest not in residency

    house.run(story)


def test_a_stream_that_breaks_has_failed(house: House) -> None:
    async def story() -> None:
        desk = house.opened.replica.desk
        house.engine.teach(house.old, says(BREAKS))
        reply = await chat(house.opened, MODEL, stream=True)
        assert (reply.status, reply.headers["content-type"]) == (500, "application/json")
        assert reply.json["error"]["message"] == "it hurts"
        house.engine.teach(house.old, says("ab" + BREAKS))
        reply = await chat(house.opened, MODEL, stream=True)
        assert reply.status == 200  # it had begun
        assert b'{"error": {"message": "it hurts"' in reply.body
        assert [entry["status"] for entry in house.opened.log()] == [500, 500]
        assert [seen.failed for seen, _ in desk._observed] == [True, True]
        scrape = Scrape.parse((await ask(house.opened.app, "GET", "/metrics", [], b"")).body.decode(), 0.0)
        assert scrape.total("errors_total", code="500") == 2

    house.run(story)


class Clock:
    """Stands still unless somebody takes time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class SlowLoads(Engine):
    """An engine that takes 100 s to load an adapter."""

    clock: Clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.clock.now += 100 if scope["path"] == "/v1/load_lora_adapter" else 0
        await super().__call__(scope, receive, send)


def test_neither_loads_nor_clients_nor_a_failed_candidate_take_the_engines_time(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr("serve.gateway.answer.time", clock)
    monkeypatch.setattr("serve.gateway.proxy.time", clock)
    engine = SlowLoads()
    engine.clock = clock

    def takes(seconds: float, status: int) -> Any:
        def manner(_: dict[str, Any]) -> tuple[int, str]:
            clock.now += seconds
            return status, "text"

        return manner

    async def slow_client(scope: Scope, receive: Receive, send: Send) -> None:
        async def slowly(message: Message) -> None:
            clock.now += 7
            await send(message)

        await house.opened.app(scope, receive, slowly)

    async def story() -> None:
        body = json.dumps({"model": MODEL, "messages": []}).encode()
        await ask(slow_client, "POST", CHAT, [], body)
        house.start(weight=1)
        await candidate_ready(house.opened)
        await ask(slow_client, "POST", CHAT, [], body)
        observed = [seen for seen, _ in house.opened.replica.desk._observed]
        assert [(seen.failed, seen.seconds) for seen in observed] == [(False, 2.0), (True, 0.0), (False, 2.0)]
        assert house.opened.log()[0]["duration"] >= 100

    engine.teach(house.old, takes(2, 200))
    engine.teach(house.new, takes(50, 500))
    house.engine = engine
    house.run(story)


def test_what_a_server_lacks_itself_does_not_end_a_release(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def lacks(version: AdapterVersion, _instead_of: AdapterVersion | None) -> None:
        raise InvalidInput(f"{version} has rank 64; this server was started for ranks up to 16.")

    async def story() -> None:
        router = house.opened.replica.desk.router
        monkeypatch.setattr(router, "_prepare", lacks)
        release = house.start(weight=1)
        await house.opened.replica.catalogue.look()
        await router._tasks[release.id]
        assert by_version(await many(house.opened, MODEL, 4)) == {"demo:1": 4}
        await house.report()
        assert house.release.running

    house.run(story)


@pytest.mark.parametrize(("case", "dropped", "failed"), [("no turn", 1, 0), ("404", 1, 0), ("hangs", 0, 1)])
def test_a_copy_counts_against_the_candidate_only_once_that_is_asked(
    house: House, monkeypatch: pytest.MonkeyPatch, case: str, dropped: int, failed: int
) -> None:
    class Never:
        async def __aenter__(self) -> None:
            await asyncio.Event().wait()

        async def __aexit__(self, *_: object) -> None:
            """It was never entered."""

    def hangs(*_: object) -> Coroutine[Any, Any, bool]:
        return asyncio.Event().wait()

    async def story() -> None:
        release = house.start(kind=SHADOW)
        await candidate_ready(house.opened)
        desk = house.opened.replica.desk
        candidate = desk.router.candidate(release)
        assert candidate
        if case != "404":
            monkeypatch.setattr("serve.release.shadow.SHORTEST_LIMIT", 0.02)
            name, instead = ("_turn", lambda *_: Never()) if case == "no turn" else ("_forward", hangs)
            monkeypatch.setattr(desk.shadow, name, instead)
        document = {"model": MODEL, "messages": []}
        await desk.shadow._compare(
            Copy(release, candidate, CHAT, document, Demand(), Transcript(CHAT, asked=False), 0.0)
        )
        counted = desk.ledger.totals[release.id]
        assert counted[PAIRS]["dropped"] == dropped
        assert (CANDIDATE in counted and counted[CANDIDATE]["errors"]) == failed

    house.engine.teach(house.new, lambda _: (404, "Response with id 'resp_1' not found."))
    house.run(story)
