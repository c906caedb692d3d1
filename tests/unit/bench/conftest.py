"""A server that streams as an engine does, on a port and on a Unix socket."""

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

MISSING = "missing"
BROKEN = "broken"
SILENT = "silent"


@dataclass
class FakeEngine:
    """Answers each request with its model's name, token by token."""

    port: int = 0
    socket: Path = Path()
    questions: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        question = await request.json()
        self.questions.append(question)
        self.keys.append(request.headers.get("authorization", ""))
        if question["model"] == MISSING:
            return web.json_response({"error": {"message": "no such model"}}, status=404)
        answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await answer.prepare(request)
        if question["model"] == SILENT:
            await asyncio.sleep(60)
        if "messages" in question:
            await answer.write(_event({"choices": [{"delta": {"role": "assistant", "content": ""}}]}))
        text = {"delta": {"content": question["model"]}} if "messages" in question else {"text": question["model"]}
        for _ in range(question["max_tokens"]):
            await answer.write(_event({"choices": [text]}))
            if question["model"] == BROKEN:
                await answer.write(_event({"error": {"message": "it broke"}}))
                return answer
        await answer.write(_event({"choices": [], "usage": {"completion_tokens": question["max_tokens"]}}))
        await answer.write(b"data: [DONE]\n\n")
        return answer


def _event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[FakeEngine]:
    fake = FakeEngine(socket=tmp_path / "engine.sock")
    loop = asyncio.new_event_loop()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", fake.answer)
    app.router.add_post("/v1/completions", fake.answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)

    async def start() -> None:
        await runner.setup()
        await web.UnixSite(runner, str(fake.socket)).start()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        fake.port = next(address[1] for address in runner.addresses if isinstance(address, tuple))

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield fake
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
