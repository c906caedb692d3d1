"""The answer: what goes back to one client, under the name that the client used."""

import asyncio
import json
import re
import time

import aiohttp
from starlette.types import Message, Send

from serve.catalogue import Target
from serve.gateway.openai_errors import OpenAIError, from_stream
from serve.release.desk import Asked
from serve.replica import Replica
from serve.watching.access_log import Entry
from serve.watching.tracing import Trace

_TOKENS_IN = re.compile(rb'"(?:prompt|input)_tokens": ?(\d+)')
_TOKENS_OUT = re.compile(rb'"(?:completion|output)_tokens": ?(\d+)')
_USAGE_EVENT = re.compile(rb'data: \{[^\n]*"choices":\[\],[^\n]*"usage":\{[^\n]*\n\n?')
"""vLLM's last event before ``[DONE]``. Quotes inside generated text are escaped: no match there."""

_ERROR_EVENT = re.compile(rb'^data: \{"error"[^\n]*', re.MULTILINE)


class ClientStalled(Exception):
    """The client reads its answer too slowly to be waited for."""


class StreamRefused(Exception):
    """The engine's stream is an error and nothing else; the client has heard nothing yet."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


class Answer:
    """What goes back to one client.

    Attributes:
        entry: what is known of the request.
        target: what answers, once that is known.
        headers: of the response.
        asked: what the desk of releases knows of it, or None.
        first: seconds in the engine to the first bytes of its answer, or None.
        seconds: in the engine, from when it was asked to the last byte that came of its answer.
    """

    def __init__(
        self, replica: Replica, entry: Entry, send: Send, *, began: float, trace: Trace, patience: float
    ) -> None:
        self.entry = entry
        self.trace = trace
        self.target: Target | None = None
        self.asked: Asked | None = None
        self.first: float | None = None
        self.seconds = 0.0
        self.headers = {"x-request-id": entry.request_id, "x-adaptory-profile": replica.profile.fingerprint}
        self._replica = replica
        self._sender = send
        self._began = self._forwarded = began
        self._patience = patience

    @property
    def adapter(self) -> str:
        """What answers, as metrics call it; an empty string where that is not known."""
        return self.entry.version or (self._replica.catalogue.base.name if self.entry.digest else "")

    def bind(self, target: Target) -> None:
        """From here on it is known what answers."""
        self.trace.waits()
        self.target = target
        self.entry.digest = self.headers["x-adaptory-digest"] = target.digest
        if target.version:
            self.entry.version = self.headers["x-adaptory-version"] = str(target.version)

    def queued(self, prompt: int) -> None:
        """The request got its turn; until the engine says otherwise, the prompt takes so many tokens."""
        self.trace.computes()
        self._replica.metrics.queued(self.adapter, self.entry.queue)
        self.entry.tokens_in = prompt

    def forwarded(self) -> None:
        """The engine is asked now; what it was asked before is not counted."""
        self._forwarded = time.monotonic()
        self.first, self.seconds = None, 0.0

    async def fail(self, error: OpenAIError) -> None:
        """Report an error: as a response, or as the last event of a stream that has begun."""
        self._replica.metrics.failed(self.adapter, error.code or str(error.status))
        if self.entry.status:
            await self._send({"type": "http.response.body", "body": error.event})
        else:
            self.entry.tokens_in = 0
            await self._start(error.status, error.headers | {"content-length": str(len(error.body))})
            await self._send({"type": "http.response.body", "body": error.body})
        self.entry.status = error.status

    async def whole(self, body: bytes, kind: str, engine_name: str, model: str) -> None:
        """Send an answer that is complete."""
        self._first_bytes()
        self.seconds = time.monotonic() - self._forwarded
        self._count(body)
        self._keep(body)
        body = body.replace(*_names(engine_name, model))
        await self._start(200, {"content-type": kind, "content-length": str(len(body))})
        await self._send({"type": "http.response.body", "body": body})

    async def stream(self, response: aiohttp.ClientResponse, engine_name: str, model: str, *, hide_usage: bool) -> None:
        """Pass server-sent events on as they come; only the model's name is changed.

        With ``hide_usage`` the count of tokens at the end is taken and not passed on: the client did not ask for it.

        Raises:
            StreamRefused: it begins with an error.
        """
        kind = {"content-type": response.headers["content-type"], "cache-control": "no-store"}
        names = _names(engine_name, model)
        rest = b""
        async for piece in response.content.iter_any():
            self.seconds = time.monotonic() - self._forwarded
            end = piece.rfind(b"\n") + 1
            if not end:  # a line that is cut may be cut within the name
                rest += piece
                continue
            events, rest = rest + piece[:end], piece[end:]
            error = _ERROR_EVENT.search(events)
            if not self.entry.status:
                if error and not error.start():
                    raise StreamRefused(*from_stream(error[0]))
                self._first_bytes()
                await self._start(200, kind)
            if error:
                self._broke(from_stream(error[0])[0])
            self._keep(events)
            self.entry.tokens_out += events.count(b"data: {")
            if b'"usage":{' in events:
                self._count(events)
                events = _USAGE_EVENT.sub(b"", events) if hide_usage else events
            if events:
                await self._send({"type": "http.response.body", "body": events.replace(*names), "more_body": True})
        if not self.entry.status:
            await self._start(200, kind)
        await self._send({"type": "http.response.body", "body": rest})

    def _broke(self, status: int) -> None:
        """The engine has failed in the middle of its answer: whatever it says, that is no mistake of the client."""
        self.entry.status = max(status, 500)
        self._replica.metrics.failed(self.adapter, str(self.entry.status))

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        self.entry.status = status
        pairs = [(name.encode(), value.encode()) for name, value in (self.headers | headers).items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def _send(self, message: Message) -> None:
        """Send, and wait for the client to read, for ``patience`` seconds in the whole answer.

        Raises:
            ClientStalled: that is over.
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._patience):
                await self._sender(message)
        except TimeoutError as error:
            raise ClientStalled from error
        self._patience -= time.monotonic() - began

    def _first_bytes(self) -> None:
        now = time.monotonic()
        self.entry.ttft, self.first = now - self._began, now - self._forwarded
        if self.entry.stream:
            self._replica.metrics.first_token(self.adapter, self.entry.ttft)

    def _keep(self, piece: bytes) -> None:
        """For the desk to read when the client has it."""
        if self.asked and self.asked.transcript:
            self.asked.transcript.add(piece)

    def _count(self, body: bytes) -> None:
        """Take the engine's own count; it is the last thing in an answer."""
        usage = body[max(body.rfind(b'"usage":{'), 0) :]
        if found := _TOKENS_IN.search(usage):
            self.entry.tokens_in = int(found[1])
        if found := _TOKENS_OUT.search(usage):
            self.entry.tokens_out = int(found[1])


def _names(engine_name: str, model: str) -> tuple[bytes, bytes]:
    """What stands in the engine's answer, and what shall. Quotes inside generated text are escaped: no match there."""
    return b'"model":"' + engine_name.encode() + b'"', b'"model":' + json.dumps(model).encode()
