"""Unreadable: a request that vLLM trips over while it makes a prompt of it is the request's fault, and is told so.

vLLM answers 500 there (0.32: an assertion, where the output of a function is a list of parts). Clients try again after
a 500, and whoever watches the server counts a failure, though the engine is well and never saw the request. This runs
in vLLM's process, through its own option ``--middleware``, and imports nothing of it.
"""

import json
import logging
from collections.abc import Iterator
from types import TracebackType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

READING = ("vllm.renderers.", "vllm.entrypoints.chat_utils", "vllm.entrypoints.openai.responses.utils")
"""vLLM's modules that make a prompt of a request (0.26 to 0.32)."""

_log = logging.getLogger("vllm.adaptory")


class Unreadable:
    """ASGI middleware: an exception out of ``READING`` becomes 400, any other goes on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            places = list(_places(error.__traceback__))
            if begun or not any(place.startswith(READING) for place in places):
                raise
            # One line: a client could fill the disk with tracebacks.
            _log.warning("A request cannot be read: %s in %s", type(error).__name__, places[-1])
            await _refuse(send, type(error).__name__)


def _places(traceback: TracebackType | None) -> Iterator[str]:
    """Module and line of each frame that an exception came through, where it was raised last."""
    while traceback:
        yield f"{traceback.tb_frame.f_globals.get('__name__', '')}:{traceback.tb_lineno}"
        traceback = traceback.tb_next


async def _refuse(send: Send, reason: str) -> None:
    message = (
        f"The engine cannot make a prompt of this request ({reason}): a part of it has a form that it does not know."
    )
    body = json.dumps({"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": body})
