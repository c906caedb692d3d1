"""A gateway with an engine that serves adapters, each with manners of its own."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from registry.release import CANARY, Plan, Release, ReleaseLimits
from registry.store import Registry
from registry.version import AdapterVersion
from serve.adapters.residency import engine_name
from tests.unit.serve.gateway_parts import Gateway, Headers, Reply, ask

LIMITS = ReleaseLimits(min_requests=10)
CHAT = "/v1/chat/completions"
JSON_ANSWER = '{"city": "Springfield"}'

Manner = Callable[[dict[str, Any]], tuple[int, str]]


def says(text: str) -> Manner:
    return lambda _: (200, text)


def fails(_: dict[str, Any]) -> tuple[int, str]:
    return 500, "it hurts"


BREAKS = "\0"
"""In a streamed text: here vLLM sends an error as an event."""


@dataclass
class Engine:
    """Answers as vLLM does, under each name as its manner says; ``refused`` names cannot be loaded."""

    manners: dict[str, Manner] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def teach(self, version: AdapterVersion, manner: Manner) -> None:
        self.manners[engine_name(version.digest)] = manner

    def refuse(self, version: AdapterVersion) -> None:
        self.refused.add(engine_name(version.digest))

    def times(self, version: AdapterVersion) -> int:
        """How often it was asked, probes left out."""
        return self.asked[engine_name(version.digest)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path in {"/health", "/openapi.json"}:
            await _send(send, 200, {"paths": {CHAT: {}, "/v1/completions": {}}})
            return
        document = await _document(receive)
        if path == "/v1/unload_lora_adapter":
            await _send(send, 200, {})
        elif path == "/v1/load_lora_adapter":
            bad = document["lora_name"] in self.refused
            await _send(send, 400 if bad else 200, {"error": {"message": "no such shape"}} if bad else {})
        elif document.get("echo"):
            value = 0.0 if document["model"] not in self.manners else -1.0
            await _send(send, 200, {"choices": [{"logprobs": {"token_logprobs": [None, value, value]}}]})
        else:
            self.asked[document["model"]] += 1
            self.bodies.append(document)
            status, text = self.manners[document["model"]](document)
            if status == 200 and document.get("stream"):
                await _stream(send, document["model"], text)
            else:
                await _send(send, status, _answer(document["model"], text) if status == 200 else _error(status, text))


def _answer(model: str, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    usage = {"prompt_tokens": 3, "completion_tokens": 5}
    return {"model": model, "choices": [{"index": 0, "message": message}], "usage": usage}


def _error(status: int, text: str) -> dict[str, Any]:
    """As vLLM tells it; 404 is for models and for ids of responses."""
    param = {404: "model" if text.startswith("The model") else "response_id"}.get(status)
    return {"error": {"message": text, "type": "Error", "param": param, "code": status}}


async def _document(receive: Receive) -> dict[str, Any]:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return dict(json.loads(body))


async def _send(send: Send, status: int, document: dict[str, Any]) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(document).encode()})


async def _stream(send: Send, model: str, text: str) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for letter in text:
        part = {"model": model, "choices": [{"index": 0, "delta": {"content": letter}}]}
        body = b"data: " + json.dumps(part, separators=(",", ":")).encode() + b"\n\n"
        if letter == BREAKS:
            body = b"data: " + json.dumps(_error(500, "it hurts")).encode() + b"\n\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


@contextlib.asynccontextmanager
async def serving(opened: Gateway, folder: Path, engine: Engine) -> AsyncIterator[None]:
    """The gateway with this engine, ready."""
    folder.mkdir(exist_ok=True)
    async with opened.with_engine(folder, engine):
        place = opened.replica.fleet.places[0]
        await place._engine_ready(place.supervisor.engine())
        yield


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


async def candidate_ready(opened: Gateway) -> None:
    await opened.replica.catalogue.look()
    await until(lambda: opened.replica.desk.router.ready)


async def chat(
    opened: Gateway, model: str, *, user: str = "", key: str = "", headers: Headers = (), **more: Any
) -> Reply:
    document = {"model": model, "messages": [{"role": "user", "content": "Where?"}]} | more
    sent = [*headers, *([(b"authorization", b"Bearer " + key.encode())] if key else [])]
    return await ask(opened.app, "POST", CHAT, sent, json.dumps(document | ({"user": user} if user else {})).encode())


async def many(opened: Gateway, model: str, number: int, **more: Any) -> list[Reply]:
    """So many users ask at once, as many as there is room for; every answer is there."""
    room = asyncio.Semaphore(8)

    async def one(user: int) -> Reply:
        async with room:
            return await chat(opened, model, user=f"user-{user}", **more)

    return list(await asyncio.gather(*(one(user) for user in range(number))))


def by_version(replies: list[Reply]) -> Counter[str]:
    return Counter(reply.headers["x-adaptory-version"] for reply in replies)


@dataclass
class House:
    """A gateway, its engine, and two versions of an adapter, the first under an alias."""

    registry: Registry
    opened: Gateway
    engine: Engine
    old: AdapterVersion
    new: AdapterVersion
    folder: Path

    def start(self, **plan: Any) -> Release:
        plan = {"kind": CANARY, "weight": 0.5, "limits": LIMITS, **plan}
        return self.registry.releases.start(str(self.new), "live", Plan(**plan), actor="ada", reason="better")

    def run(self, story: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with serving(self.opened, self.folder, self.engine):
                await story()

        self.opened.run(whole())

    async def report(self) -> None:
        await self.opened.replica.desk.report()

    @property
    def release(self) -> Release:
        return self.registry.releases.get("demo", "live")
