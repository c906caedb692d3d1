"""Bodies: bounded, and of JSON that every database and every client can hold."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.canonical import canonical_json
from registry.errors import AdaptoryError, InvalidInput
from registry.server.callers import Caller
from registry.server.errors import TooLarge
from registry.server.problems import problem

MAX_JSON = 1 << 20
"""Bytes."""

MAX_REPORT = 32 << 20
"""Bytes of what grows with the work done. An evals report of 10,000 items takes about 10 MiB."""

MAX_PARTS = 2_000_000
"""Lists, objects and commas of one body, 70 bytes each once it is read; a report of 10,000 addresses has a quarter."""

MAX_ASKED = 64 << 10
"""Bytes from a caller who may change nothing."""

CHANGING = ("push", "promote")  # admin has both

_REPORTS = re.compile(r"/reports|/usage|/replicas/[^/]+|/releases/[^/]+/report", re.ASCII)

STREAMED = "/uploads/"
"""Beginning of the paths whose bodies go to the disk piece by piece, and are bounded there."""


class BodyLimit:
    """Refuses a body that is longer than its path and its caller need, before or while it is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"].startswith(STREAMED):
            await self._app(scope, receive, send)
            return
        left = limit = _limit(scope)

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise _too_large(limit)
            return message

        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if not declared.isdigit() or int(declared[:20]) > limit:
            await problem(_too_large(limit))(scope, receive, send)
            return
        await self._app(scope, bounded, send)


class StrictRoute(APIRoute):
    """A route that takes no NaN, no NUL and no half of a surrogate pair in its JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Read the body with ``StrictRequest``."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            try:
                return await handle(StrictRequest(request.scope, request.receive))
            except HTTPException as error:
                if isinstance(error.__cause__, AdaptoryError):  # FastAPI hides what reading a body raises
                    raise error.__cause__ from error
                raise

        return strictly


class StrictRequest(Request):
    """Python's JSON is wider than the standard, and PostgreSQL's text narrower."""

    async def json(self) -> Any:
        """The body.

        Raises:
            InvalidInput: it is no JSON, or holds what cannot be kept.
            TooLarge: it has too many parts.
        """
        body = await self.body()
        return await run_in_threadpool(_read, body) if len(body) > MAX_ASKED else _read(body)


def _read(body: bytes) -> Any:
    parts = sum(map(body.count, (b"{", b"[", b",")))
    if parts > MAX_PARTS:
        raise TooLarge(f"The body has {parts} lists, objects and commas; {MAX_PARTS} are the limit.")
    try:
        document = json.loads(body)
        written = canonical_json(document)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The body is not JSON that can be kept ({type(error).__name__}).") from error
    if b"\\u0000" in written.replace(b"\\\\", b""):
        raise InvalidInput("The body holds a NUL character.")
    return document


def _limit(scope: Scope) -> int:
    caller: Caller | None = scope.get("state", {}).get("caller")  # none where no key is needed
    if caller is None or not any(caller.allows(each) for each in CHANGING):
        return MAX_ASKED
    return MAX_REPORT if _REPORTS.fullmatch(scope["path"]) else MAX_JSON


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The body is too large; {limit} bytes are the limit.")
