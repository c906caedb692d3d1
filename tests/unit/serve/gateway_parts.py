"""The real gateway over a real registry, asked as an ASGI application; its engine is away, or a small stand-in."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import uvicorn
from starlette.types import ASGIApp

from registry.base_model import BaseModel
from registry.http_connection import HttpConnection
from registry.profile import ServingProfile
from registry.store import Registry
from serve.engine.client import Engine
from serve.engine.share import Share
from serve.engine.vllm_process import EngineOptions
from serve.gateway.access import Access
from serve.gateway.app import build
from serve.gateway.patience import Patience
from serve.server import Server, ServerOptions, build_replica

Result = TypeVar("Result")
Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        read: how many pieces of the request's body were asked for.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    read: int

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """OpenAI's error code."""
        code: str | None = self.json["error"]["code"]
        return code


@dataclass
class Gateway:
    """A gateway on an event loop of its own, which goes on between calls of ``run``."""

    registry: Registry
    options: ServerOptions
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        self._runner = asyncio.Runner()
        self._tasks: list[asyncio.Task[None]] = []
        self.replica = build_replica(self.options, self.registry)
        self.access = Access.to(self.registry, keys_required=self.options.keys_required)
        self.app = build(self.replica, self.access, self.patience)
        self.run(self._start())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._runner.run(work)

    def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        json_: Any = None,
        body: bytes = b"",
        headers: Headers = (),
    ) -> Reply:
        """Ask, on the gateway's own loop."""
        sent = [*headers, *([(b"authorization", b"Bearer " + key.encode())] if key else [])]
        return self.run(ask(self.app, method, path, sent, body if json_ is None else json.dumps(json_).encode()))

    def log(self) -> list[dict[str, Any]]:
        """The access log so far."""
        file = self.options.logs / "access.jsonl"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        self.run(_gather(self._tasks))
        self._runner.close()
        self.replica.access.close()

    async def _start(self) -> None:
        self.replica.catalogue.merge(self.replica.catalogue.read())
        self._tasks += [
            asyncio.create_task(self.replica.catalogue.follow()),
            asyncio.create_task(self.access.follow()),
        ]

    @contextlib.asynccontextmanager
    async def with_engine(self, folder: Path, app: ASGIApp) -> AsyncIterator[None]:
        """Let an application be the engine."""
        path = folder / "engine.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            async with served(app, listener), Engine(path) as engine:
                supervisor = self.replica.fleet.places[0].supervisor
                supervisor._engine = engine
                yield
                supervisor._engine = None


async def ask(app: ASGIApp, method: str, path: str, headers: Headers, body: bytes) -> Reply:
    """One request, in one piece; the client stays until it is answered."""
    read, started, got = 0, {}, []
    over = asyncio.Event()

    async def receive() -> dict[str, Any]:
        nonlocal read
        read += 1
        if read > 1:
            await over.wait()
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            started.update(message)
        else:
            got.append(message.get("body", b""))

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "root_path": "",
        "method": method, "path": path, "raw_path": b"/", "query_string": b"", "headers": list(headers),
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
    }  # fmt: skip
    await app(scope, receive, send)
    over.set()
    pairs = {name.decode(): value.decode() for name, value in started["headers"]}
    return Reply(started["status"], pairs, b"".join(got), read)


@contextlib.asynccontextmanager
async def served(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an application on a bound socket."""
    config = uvicorn.Config(app, http=HttpConnection, loop="none", lifespan="off", log_config=None, access_log=False)
    server = Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            await asyncio.sleep(0.01)
        yield
    finally:
        server.should_exit = server.force_exit = True
        await serving


@contextlib.contextmanager
def gateway(
    registry: Registry, base: BaseModel, folder: Path, *, keys: bool, patience: Patience | None = None, engines: int = 1
) -> Iterator[Gateway]:
    """A gateway whose engines are away, closed at the end."""
    opened = Gateway(registry, options(base, folder, keys=keys, engines=engines), patience or Patience())
    try:
        yield opened
    finally:
        opened.close()


def options(base: BaseModel, folder: Path, *, keys: bool, engines: int = 1) -> ServerOptions:
    profile = ServingProfile(
        base_name=base.name, base_fingerprint=base.fingerprint, quantization="nf4", engine="vllm", engine_version="0",
        device="cuda", dtype="bfloat16", kv_cache_dtype="auto", context_length=64, chat_template_digest="",
    )  # fmt: skip
    engine = EngineOptions(
        model=folder, name=base.name, device="cuda", slots=2, host_adapters=4, max_lora_rank=16, lora_modules=(),
        context_length=64, max_sequences=4, kv_cache_gib=1,
    )  # fmt: skip
    return ServerOptions(
        base=base, profile=profile, engine=engine, shares=(Share(),) * engines, cache=folder / "cache",
        disk_cache=1 << 30, pins=(), logs=folder / "logs", capacity=100, keys_required=keys, environment={},
    )  # fmt: skip


async def _gather(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
