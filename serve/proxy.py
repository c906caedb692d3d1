"""The proxy: an OpenAI request in, the engine's bytes out, under the name that the client used."""

import asyncio
import json
import re
import time
import uuid
from collections.abc import Coroutine
from typing import Any

import aiohttp
from starlette.types import Receive, Scope, Send

from registry.errors import AdaptoryError
from serve.access_log import Entry
from serve.catalogue import MODEL_LENGTH, Target
from serve.errors import EngineAway
from serve.openai_errors import OpenAIError, from_adaptory, from_engine
from serve.replica import Replica, Turn

MAX_BODY = 16 << 20
CLIENT_LEFT = 499
ANONYMOUS = "anonymous"

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_TOKENS_IN = re.compile(rb'"(?:prompt|input)_tokens": ?(\d+)')
_TOKENS_OUT = re.compile(rb'"(?:completion|output)_tokens": ?(\d+)')


class BadRequest(Exception):
    """A request that goes no further."""

    def __init__(self, error: OpenAIError) -> None:
        super().__init__(error.message)
        self.error = error


class Proxy:
    """One endpoint of the engine, as an ASGI application."""

    def __init__(self, replica: Replica, path: str) -> None:
        self._replica = replica
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.monotonic()
        entry = Entry(request_id(scope), self._path)
        answer = Answer(self._replica, entry, send, began)
        try:
            question = parse(await read_body(scope, receive))
            entry.model, entry.stream = question["model"][:MODEL_LENGTH], bool(question.get("stream"))
            if not await _unless_client_leaves(receive, self._respond(question, answer)):
                entry.status = CLIENT_LEFT
        except BadRequest as error:
            await answer.fail(error.error)
        finally:
            entry.duration = time.monotonic() - began
            adapter = entry.version or (self._replica.catalogue.base.name if entry.digest else "")
            self._replica.metrics.count(adapter, entry.status, entry.tokens_in, entry.tokens_out)
            self._replica.access.write(entry)

    async def _respond(self, question: dict[str, Any], answer: "Answer") -> None:
        try:
            if self._replica.paths and self._path not in self._replica.paths:
                await answer.fail(OpenAIError(404, f"This engine has no {self._path}.", code="not_found"))
                return
            target = await self._replica.catalogue.resolve(question["model"])
            answer.bind(target)
            async with self._replica.turn(target, ANONYMOUS, answer.entry) as turn:
                answer.queued()
                await self._ask(turn, question, answer)
                turn.lease.tokens = answer.entry.tokens_in + answer.entry.tokens_out
        except AdaptoryError as error:
            await answer.fail(from_adaptory(error))

    async def _ask(self, turn: Turn, question: dict[str, Any], answer: "Answer") -> None:
        model = question["model"]
        body = json.dumps(question | {"model": turn.name}).encode()
        try:
            async with turn.engine.forward(self._path, body, answer.entry.request_id) as response:
                kind = response.headers.get("content-type", "")
                if response.status == 404 and answer.entry.version:
                    self._replica.residency.forget(answer.entry.digest)
                    raise EngineAway("The engine lost this adapter.", "Try again.")
                if response.status >= 500 and not await turn.engine.healthy():
                    raise EngineAway("The engine has failed and is restarted.", "Try again in a few seconds.")
                if response.status >= 400:
                    await answer.fail(from_engine(response.status, await response.read(), turn.name, model))
                elif kind.startswith("text/event-stream"):
                    await answer.stream(response, turn.name, model)
                else:
                    await answer.whole(await response.read(), kind, turn.name, model)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise EngineAway("The engine went away while it answered.", "Try again in a few seconds.") from error


class Answer:
    """What goes back to one client."""

    def __init__(self, replica: Replica, entry: Entry, send: Send, began: float) -> None:
        self.entry = entry
        self._replica = replica
        self._send = send
        self._began = began
        self._headers = {"x-request-id": entry.request_id, "x-adaptory-profile": replica.profile.fingerprint}

    def bind(self, target: Target) -> None:
        """From here on it is known what answers."""
        self.entry.digest = self._headers["x-adaptory-digest"] = target.digest
        if target.version:
            self.entry.version = self._headers["x-adaptory-version"] = str(target.version)

    def queued(self) -> None:
        """The request got its turn."""
        self._replica.metrics.queued(self.entry.version or self._replica.catalogue.base.name, self.entry.queue)

    async def fail(self, error: OpenAIError) -> None:
        """Report an error: as a response, or as the last event of a stream that has begun."""
        if self.entry.status:
            await self._send({"type": "http.response.body", "body": error.event})
        else:
            await self._start(error.status, error.headers | {"content-length": str(len(error.body))})
            await self._send({"type": "http.response.body", "body": error.body})
        self.entry.status = error.status

    async def whole(self, body: bytes, kind: str, engine_name: str, model: str) -> None:
        """Send an answer that is complete."""
        self._first_bytes()
        self._count(body)
        body = body.replace(*_names(engine_name, model))
        await self._start(200, {"content-type": kind, "content-length": str(len(body))})
        await self._send({"type": "http.response.body", "body": body})

    async def stream(self, response: aiohttp.ClientResponse, engine_name: str, model: str) -> None:
        """Pass server-sent events on as they come; only the model's name is changed."""
        await self._start(200, {"content-type": response.headers["content-type"], "cache-control": "no-store"})
        names = _names(engine_name, model)
        rest = b""
        async for piece in response.content.iter_any():
            end = piece.rfind(b"\n") + 1
            if not end:  # a line that is cut may be cut within the name
                rest += piece
                continue
            events, rest = rest + piece[:end], piece[end:]
            if self.entry.ttft is None:
                self._first_bytes()
            self.entry.tokens_out += events.count(b"data: {")
            if b'"usage":{' in events:
                self._count(events)
            await self._send({"type": "http.response.body", "body": events.replace(*names), "more_body": True})
        await self._send({"type": "http.response.body", "body": rest})

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        self.entry.status = status
        pairs = [(name.encode(), value.encode()) for name, value in (self._headers | headers).items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    def _first_bytes(self) -> None:
        self.entry.ttft = time.monotonic() - self._began
        self._replica.metrics.first_token(self.entry.version or self._replica.catalogue.base.name, self.entry.ttft)

    def _count(self, body: bytes) -> None:
        """Take the engine's own count; it is the last thing in an answer."""
        usage = body[max(body.rfind(b'"usage":{'), 0) :]
        if found := _TOKENS_IN.search(usage):
            self.entry.tokens_in = int(found[1])
        if found := _TOKENS_OUT.search(usage):
            self.entry.tokens_out = int(found[1])


def request_id(scope: Scope) -> str:
    """The client's ``x-request-id`` where it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return uuid.uuid4().hex


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The request's body, at most MAX_BODY bytes.

    Raises:
        BadRequest: it is larger, or the client left.
    """
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    pieces: list[bytes] = []
    size, more = int(declared) if declared.isdigit() else 0, True
    received = 0
    while more:
        if max(size, received) > MAX_BODY:
            raise BadRequest(OpenAIError(413, f"The body is larger than {MAX_BODY >> 20} MiB.", code="body_too_large"))
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest(OpenAIError(CLIENT_LEFT, "The client left."))
        pieces.append(message.get("body", b""))
        received += len(pieces[-1])
        more = message.get("more_body", False)
    return b"".join(pieces)


def parse(body: bytes) -> dict[str, Any]:
    """The request as an object that names a model.

    Raises:
        BadRequest: it is no JSON object, or names none.
    """
    try:
        question = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(OpenAIError(400, "The body is not valid JSON.", code="invalid_json")) from error
    if not isinstance(question, dict):
        raise BadRequest(OpenAIError(400, "The body has to be a JSON object.", code="invalid_json"))
    if not isinstance(question.get("model"), str) or not question["model"]:
        raise BadRequest(OpenAIError(400, "The field model is missing; a string was expected.", param="model"))
    return question


def _names(engine_name: str, model: str) -> tuple[bytes, bytes]:
    """What stands in the engine's answer, and what shall. Quotes inside generated text are escaped: no match there."""
    return b'"model":"' + engine_name.encode() + b'"', b'"model":' + json.dumps(model).encode()


async def _unless_client_leaves(receive: Receive, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work, but cancel it, and with it the engine's, when the client goes. Returns whether it was done."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if task.cancelled():
            return False
        task.result()
        return True
    finally:
        gone.cancel()
        task.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
