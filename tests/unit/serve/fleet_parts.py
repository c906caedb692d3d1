"""A gateway over several engines that only play their part, and can be killed and come back."""

import asyncio
import contextlib
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send

from serve.engine.client import Engine
from serve.fleet import Fleet
from serve.place import Place
from tests.unit.serve.gateway_parts import Gateway, Headers, Reply, ask, served


@dataclass
class Player:
    """Speaks as much of vLLM's API as is needed. Answers wait while ``gate`` is closed.

    Attributes:
        deadly: names that end the engine when they are loaded.
        broken: names that answer as the base does.
        fatal: names that end the engine when they are probed: ``dead``, it answers with 500 and is not healthy.
        most: the highest number of distinct adapters that ever computed at once.
    """

    number: int
    names: set[str] = field(default_factory=set)
    deadly: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    fatal: set[str] = field(default_factory=set)
    dead: bool = False
    loads: Counter[str] = field(default_factory=Counter)
    computing: Counter[str] = field(default_factory=Counter)
    answered: int = 0
    most: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    died: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.gate.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive()).get("body", b"")
        asked = json.loads(body) if body else {}
        match scope["path"]:
            case "/health":
                answer: Any = {}
            case "/openapi.json":
                answer = {"paths": {"/v1/completions": {}}}
            case "/v1/load_lora_adapter":
                await self._load(asked["lora_name"])
                answer = {}
            case "/v1/unload_lora_adapter":
                self.names.discard(asked["lora_name"])
                answer = {}
            case _:
                answer = await self._complete(asked)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 500 if self.dead else 200, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(answer).encode()})

    async def _load(self, name: str) -> None:
        self.loads[name] += 1
        if name in self.deadly:
            self.died.set()
            await asyncio.Event().wait()
        self.names.add(name)

    async def _complete(self, asked: dict[str, Any]) -> dict[str, Any]:
        name = asked["model"]
        known = name in self.names
        self.dead = self.dead or name in self.fatal
        if asked.get("echo"):
            value = -2.0 if known and name not in self.broken else -1.0
            return {"choices": [{"logprobs": {"token_logprobs": [None, value]}}]}
        assert known or name == "tiny"
        self.computing[name] += 1
        self.most = max(self.most, len(+self.computing - Counter(tiny=10**9)))
        try:
            await self.gate.wait()
        finally:
            self.computing[name] -= 1
        self.answered += 1
        usage = {"prompt_tokens": 1, "completion_tokens": 1}
        return {"model": name, "choices": [{"text": str(self.number)}], "usage": usage}


@dataclass
class Stage:
    """The players, and their places in the gateway."""

    opened: Gateway
    players: list[Player]
    sockets: list[Path]

    @property
    def fleet(self) -> Fleet:
        return self.opened.replica.fleet

    def place(self, number: int) -> Place:
        return self.fleet.places[number]

    async def start(self, number: int) -> None:
        """As the supervisor does with an engine that has become healthy."""
        self.players[number].names.clear()
        self.players[number].dead = False
        supervisor, engine = self.place(number).supervisor, Engine(self.sockets[number])
        await supervisor.on_ready(engine)
        supervisor._engine = engine
        supervisor.on_serving()

    async def kill(self, number: int) -> None:
        """As the supervisor does when the process has ended; connections break."""
        supervisor = self.place(number).supervisor
        engine, supervisor._engine = supervisor._engine, None
        assert engine
        supervisor.restarts += 1
        supervisor.on_gone()
        await engine.close()

    async def ask(self, model: str, headers: Headers = ()) -> Reply:
        return await ask(self.opened.app, "POST", "/v1/completions", headers, json.dumps({"model": model}).encode())

    async def told(self, path: str) -> Any:
        return (await ask(self.opened.app, "GET", path, [], b"")).json

    async def where(self, model: str) -> str:
        """Ask, and say which engine answered."""
        reply = await self.ask(model)
        assert reply.status == 200, reply.body
        return str(reply.json["choices"][0]["text"])

    def close_gates(self) -> None:
        for player in self.players:
            player.gate.clear()

    def open_gates(self) -> None:
        for player in self.players:
            player.gate.set()


@contextlib.asynccontextmanager
async def stage(opened: Gateway, folder: Path) -> AsyncIterator[Stage]:
    """As many players as the gateway has places, all of them up."""
    async with contextlib.AsyncExitStack() as stack:
        players, sockets = [], []
        for number in range(len(opened.replica.fleet.places)):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            path = folder / f"{number}.sock"
            listener.bind(str(path))
            players.append(Player(number))
            sockets.append(path)
            await stack.enter_async_context(served(players[-1], listener))
        built = Stage(opened, players, sockets)
        for number in range(len(players)):
            await built.start(number)
        await until(lambda: all(place.warm for place in built.fleet.places))
        try:
            yield built
        finally:
            built.open_gates()
            for place in built.fleet.places:
                if place.ready:
                    await built.kill(place.number)


async def until(condition: Any) -> None:
    """Wait, for 20 s at most."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)
