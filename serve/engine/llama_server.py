"""llama.cpp as an engine: a process that speaks as much of vLLM's API as the gateway uses, over a Unix socket.

``python -m serve.engine.llama_server SOCKET CONTEXT THREADS``. Models come and go under the names that the gateway
gives them, so that a new one is ready before the old one goes. One request at a time computes in each.
"""

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from serve.engine.llama_model import FIELDS, Cancelled, Model

KEEP_ALIVE = 3600
"""Seconds: longer than the gateway keeps an idle connection."""

CLIENTS_FAULT = (ValueError, TypeError, KeyError, IndexError, AttributeError)
"""What llama-cpp-python raises for fields that it cannot use and prompts that do not fit."""


class Models:
    """What is in memory, by name."""

    def __init__(self, context: int, threads: int) -> None:
        self._context = context
        self._threads = threads
        self._models: dict[str, tuple[Model, asyncio.Lock]] = {}

    async def load(self, request: Request) -> Response:
        """Load a folder's GGUF."""
        asked = await request.json()
        name = asked["lora_name"]
        try:
            model = await run_in_threadpool(
                Model, name, Path(asked["lora_path"]), context=self._context, threads=self._threads
            )
        except (ValueError, RuntimeError, OSError) as error:
            return _said(400, str(error))
        self._models[name] = (model, asyncio.Lock())
        return _json({})

    async def unload(self, request: Request) -> Response:
        """Forget a name, when its last request has ended."""
        found = self._models.pop((await request.json())["lora_name"], None)
        if found:
            model, lock = found
            async with lock:
                await run_in_threadpool(model.close)
        return _json({})

    def find(self, name: str) -> tuple[Model, asyncio.Lock] | None:
        """A model and the lock that its requests take."""
        return self._models.get(name)


class Endpoint:
    """One of OpenAI's routes."""

    def __init__(self, models: Models, path: str) -> None:
        self._models = models
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; a client that leaves ends it at the next token."""
        document = await Request(scope, receive).json()
        found = self._models.find(document["model"])
        if found is None:
            await _said(404, "The model does not exist.", "model")(scope, receive, send)
            return
        model, lock = found
        left = threading.Event()
        watching = asyncio.create_task(_watch(receive, left))
        try:
            async with lock:
                await self._answer(model, document, left, scope, receive, send)
        finally:
            left.set()
            watching.cancel()

    async def _answer(
        self, model: Model, document: dict[str, Any], left: threading.Event, scope: Scope, receive: Receive, send: Send
    ) -> None:
        pieces = model.ask(self._path, document, left)
        with contextlib.suppress(Cancelled):
            try:
                first = await run_in_threadpool(next, pieces)
            except CLIENTS_FAULT as error:
                await _said(400, str(error) or type(error).__name__)(scope, receive, send)
                return
            if document.get("stream"):
                await _stream(first, pieces, send)
            else:
                await _json(first)(scope, receive, send)


async def _stream(first: dict[str, Any], pieces: Iterator[dict[str, Any]], send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    piece: dict[str, Any] | None = first
    while piece:
        await send({"type": "http.response.body", "body": b"data: " + _compact(piece) + b"\n\n", "more_body": True})
        piece = await run_in_threadpool(next, pieces, None)
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


async def _watch(receive: Receive, left: threading.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    left.set()


def _compact(document: dict[str, Any]) -> bytes:
    """As vLLM writes it: the gateway looks for names and counts in the bytes."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(_compact(document), status, media_type="application/json")


def _said(status: int, message: str, param: str | None = None) -> Response:
    return _json({"error": {"message": message, "type": "BadRequestError", "param": param, "code": status}}, status)


async def _health(_request: Request) -> Response:
    return _json({})


async def _openapi(_request: Request) -> Response:
    return _json({"paths": {path: {} for path in FIELDS}})


def build(context: int, threads: int) -> Starlette:
    """The application.

    Args:
        context: tokens of prompt and answer together.
        threads: that compute.
    """
    models = Models(context, threads)
    return Starlette(
        routes=[
            *(Route(path, Endpoint(models, path), methods=["POST"]) for path in FIELDS),
            Route("/v1/load_lora_adapter", models.load, methods=["POST"]),
            Route("/v1/unload_lora_adapter", models.unload, methods=["POST"]),
            Route("/health", _health),
            Route("/openapi.json", _openapi),
        ]
    )


def main(socket: str, context: str, threads: str) -> None:
    """Run until the warden ends it."""
    app = build(int(context), int(threads))
    uvicorn.run(app, uds=socket, log_level="warning", timeout_keep_alive=KEEP_ALIVE)


if __name__ == "__main__":
    main(*sys.argv[1:])
