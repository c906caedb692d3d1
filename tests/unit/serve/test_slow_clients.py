"""Clients that send or read slowly, on real sockets: they do not keep the engine's place for ever."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from registry.api_key import Limits
from registry.base_model import BaseModel
from registry.store import Registry
from serve.gateway.patience import Patience
from serve.gateway.quota import Quotas
from serve.turns.fairness import FIRST_GUESS
from serve.turns.ticket import Ticket
from tests.unit.serve.gateway_parts import Gateway, ask, gateway, served

HEAD = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\nauthorization: Bearer %s\r\n\r\n"


class Engine:
    """Answers every request with a stream; ``endless`` ones are large."""

    def __init__(self, events: list[bytes]) -> None:
        self.events = events
        self.endless = False
        self.asked: list[dict[str, Any]] = []
        self.left = asyncio.Event()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.append(json.loads((await receive())["body"]))
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if self.endless:
            leaving = asyncio.ensure_future(receive())
            large = b'data: {"x":"' + b"x" * 65536 + b'"}\n\n'
            while not leaving.done():
                await send({"type": "http.response.body", "body": large, "more_body": True})
                await asyncio.sleep(0)
            self.left.set()
            return
        for event in self.events:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
def key(registry: Registry) -> str:
    return registry.keys.create("ci", actor="test", limits=Limits(concurrent=1, tokens_per_minute=1000)).token


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_a_body_that_does_not_come(registry: Registry, base: BaseModel, tmp_path: Path, key: str) -> None:
    async def story(opened: Gateway) -> bytes:
        with listening() as listener:
            async with served(opened.app, listener):
                reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
                writer.write(HEAD % (100, key.encode()) + b'{"model": ')
                answer = await reader.read()  # to the end: the connection is closed
                writer.close()
                return answer

    with gateway(registry, base, tmp_path, keys=True, patience=Patience(body=0.2)) as opened:
        answer = opened.run(story(opened))
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert b"body_too_slow" in answer
        (entry,) = opened.log()
        assert entry["status"] == 408


def test_an_answer_that_is_not_read(registry: Registry, base: BaseModel, tmp_path: Path, key: str) -> None:
    body = json.dumps({"model": base.name, "stream": True}).encode()

    async def story(opened: Gateway) -> None:
        engine = Engine([])
        engine.endless = True
        with listening() as listener, socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            async with opened.with_engine(tmp_path, engine), served(opened.app, listener):
                client.connect(listener.getsockname())
                client.sendall(HEAD % (len(body), key.encode()) + body)
                await engine.left.wait()  # nothing was read
                while not opened.log():
                    await asyncio.sleep(0.01)
                assert opened.replica.fleet.places[0].load.inside == 0

    with gateway(registry, base, tmp_path, keys=True, patience=Patience(answer=0.3)) as opened:
        opened.run(story(opened))
        (entry,) = opened.log()
        assert entry["status"] == 499
        assert entry["tokens_out"] > 0


START = b'data: {"id":"1","model":"tiny","choices":['
COUNTED = b'],"usage":{"prompt_tokens":7,"total_tokens":9,"completion_tokens":2}}\n\n'
USAGE = START + COUNTED
EVENTS = [
    START + b'{"text":"\\"choices\\":[],"}]}\n\n' + START[:25],
    START[25:] + b'{"text":"b"}]}\n\n' + USAGE[:50],
    USAGE[50:-1],
    USAGE[-1:] + b"data: [DONE]\n\n",
]


@pytest.mark.parametrize("options", [None, {}, {"include_usage": False}, {"include_usage": True}])
def test_every_stream_is_counted_and_only_who_asks_is_told(
    registry: Registry, base: BaseModel, tmp_path: Path, key: str, options: dict[str, bool] | None
) -> None:
    question = {"model": base.name, "stream": True} | ({} if options is None else {"stream_options": options})

    async def story(opened: Gateway) -> bytes:
        engine = Engine(EVENTS)
        async with opened.with_engine(tmp_path, engine):
            sent = [(b"authorization", b"Bearer " + key.encode())]
            reply = await ask(opened.app, "POST", "/v1/completions", sent, json.dumps(question).encode())
            assert engine.asked[0]["stream_options"]["include_usage"]
            return reply.body

    with gateway(registry, base, tmp_path, keys=True) as opened:
        opened.access._quotas = Quotas(lambda: 0.0)  # nothing is refilled
        body = opened.run(story(opened))
        wanted = bool(options and options["include_usage"])
        whole = b"".join(EVENTS)
        assert body.replace(b"\n", b"") == (whole if wanted else whole.replace(USAGE, b"")).replace(b"\n", b"")
        (entry,) = opened.log()
        assert (entry["tokens_in"], entry["tokens_out"]) == (7, 2)
        opened.run(opened.access.accounting.flush())
        again = opened.ask("POST", "/v1/completions", key=key, json_=question)
        assert again.headers["x-ratelimit-remaining-tokens"] == "991"
    (used,) = registry.usage.list()
    assert (used.adapter, used.number, used.requests, used.tokens_in, used.tokens_out) == (base.name, 0, 1, 7, 2)


def test_who_leaves_before_an_answer_is_charged_for_one(
    registry: Registry, base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = asyncio.Event()
    charged: list[int] = []

    async def silent(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()
        asked.set()
        await receive()  # until the gateway leaves

    async def story(opened: Gateway) -> None:
        scheduler = opened.replica.fleet.places[0].scheduler
        release = scheduler.release

        def looked_on(ticket: Ticket, tokens: int) -> None:
            charged.append(tokens)
            release(ticket, tokens)

        monkeypatch.setattr(scheduler, "release", looked_on)
        body = json.dumps({"model": base.name}).encode()
        with listening() as listener:
            async with opened.with_engine(tmp_path, silent), served(opened.app, listener):
                _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
                writer.write(HEAD % (len(body), b"none") + body)
                await asked.wait()
                writer.close()
                while not charged:
                    await asyncio.sleep(0.01)

    with gateway(registry, base, tmp_path, keys=False) as opened:
        opened.run(story(opened))
    assert charged[0] >= FIRST_GUESS
