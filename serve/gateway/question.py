"""The question: a client's request as it came, proven to be one, and what it will take to answer."""

import asyncio
import json
import re
import uuid
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope

from serve.gateway.bodies import Share
from serve.gateway.openai_errors import BadRequest, OpenAIError
from serve.release.share import user
from serve.turns.demand import Demand

MAX_BODY = 16 << 20
MAX_PARTS = 500_000
"""Lists, objects and commas of one body: a quarter of a second to read, which nobody else is served in."""

PART_BYTES = 72
"""What each of them takes at most once it is read."""

MAX_ANSWERS = 128
"""Answers that one request may ask for, prompts times ``n``: as OpenAI's API has it. It takes one turn for all, and
so many sequences in the engine."""

MAX_TIMEOUT = 3600.0
CLIENT_LEFT = 499
BYTES_PER_TOKEN = 4
OPTION_BYTES = 150
"""Of a usual body: the model's name and the options. Counted as prompt they made short questions three times as dear,
and whoever came first lived on what was given back (``FIRST_GUESS`` in ``serve/turns/fairness.py``)."""

USAGE_AT_THE_END = ("/v1/chat/completions", "/v1/completions")
"""Paths whose streams count tokens only for clients that ask for it with ``stream_options``."""

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_SECONDS = re.compile(rb"[0-9]{1,4}(?:\.[0-9]{1,6})?")


@dataclass(frozen=True, slots=True)
class Question:
    """A request that names a model.

    Attributes:
        document: its JSON.
        model: as the client names it.
        size: bytes of its JSON.
        session: what the client calls its session, or an empty string.
    """

    document: dict[str, Any]
    model: str
    size: int
    session: str = ""

    @property
    def stream(self) -> bool:
        """Whether the answer shall be streamed."""
        return bool(self.document.get("stream"))

    @property
    def who(self) -> str:
        """The session or user that it is for, or an empty string."""
        return self.session or user(self.document)

    @property
    def answers(self) -> int:
        """How many answers it asks for; what is no number counts as none, for the engine to complain of."""
        prompts = self.document.get("prompt")
        many = len(prompts) if isinstance(prompts, list) and not isinstance(next(iter(prompts), None), int) else 1
        each = (self.document.get(name) for name in ("n", "best_of"))
        return many * max([1, *(number for number in each if isinstance(number, int))])

    @property
    def demand(self) -> Demand:
        """What it takes of the engine; its prompt's tokens are estimated from its bytes."""
        return Demand(max(self.size - OPTION_BYTES, 0) // BYTES_PER_TOKEN, max(self.answers, 1))

    def hides_usage(self, path: str) -> bool:
        """Whether the stream's count of tokens has to be asked for, and kept from a client that did not."""
        options = self.document.get("stream_options") or {}
        if path not in USAGE_AT_THE_END or self.document.get("stream") is not True or not isinstance(options, dict):
            return False
        return not options.get("include_usage")

    def for_engine(self, path: str, name: str) -> bytes:
        """The same request, for the engine, under the engine's name for the model; a stream tells its usage.

        Raises:
            BadRequest: it is nested more deeply than can be written.
        """
        ours: dict[str, Any] = {"model": name}
        if self.hides_usage(path):
            options = self.document.get("stream_options") or {}
            ours["stream_options"] = options | {"include_usage": True, "continuous_usage_stats": False}
        try:
            return json.dumps(self.document | ours).encode()
        except RecursionError as error:  # what could be read at one depth of the stack cannot be written at another
            raise BadRequest(OpenAIError(400, "The body is nested too deeply.", code="invalid_json")) from error


def parse(body: bytes, share: Share, session: str = "") -> Question:
    """The request as an object that names a model; what it takes once it is read is taken from ``share``.

    Raises:
        BadRequest: it is no JSON object, names none, asks for too much at once, or finds no room.
    """
    parts = sum(map(body.count, (b"{", b"[", b",")))
    if parts > MAX_PARTS:
        message = f"The body has {parts} lists, objects and commas; at most {MAX_PARTS} are read."
        raise BadRequest(OpenAIError(413, message, code="body_too_large"))
    share.take(PART_BYTES * parts)
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(OpenAIError(400, "The body is not valid JSON.", code="invalid_json")) from error
    if not isinstance(document, dict):
        raise BadRequest(OpenAIError(400, "The body has to be a JSON object.", code="invalid_json"))
    if not isinstance(document.get("model"), str) or not document["model"]:
        raise BadRequest(OpenAIError(400, "The field model is missing; a string was expected.", param="model"))
    question = Question(document, document["model"], len(body), session)
    if question.answers > MAX_ANSWERS:
        message = f"The request asks for {question.answers} answers at once; at most {MAX_ANSWERS} were expected."
        raise BadRequest(OpenAIError(400, message, code="too_many_answers"))
    return question


async def read_body(scope: Scope, receive: Receive, seconds: float, share: Share) -> bytes:
    """The request's body, at most MAX_BODY bytes, within so many seconds; its bytes are taken from ``share``.

    Raises:
        BadRequest: it is larger, takes longer, finds no room, or the client left.
    """
    try:
        async with asyncio.timeout(seconds):
            return await _read_body(scope, receive, share)
    except TimeoutError as error:
        told = OpenAIError(408, f"The body took longer than {seconds:g} seconds.", code="body_too_slow")
        raise BadRequest(told) from error


async def _read_body(scope: Scope, receive: Receive, share: Share) -> bytes:
    too_large = OpenAIError(413, f"The body is larger than {MAX_BODY >> 20} MiB.", code="body_too_large")
    declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if declared.isdigit() and (len(declared) > 15 or int(declared) > MAX_BODY):
        raise BadRequest(too_large)
    pieces: list[bytes] = []
    received, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest(OpenAIError(CLIENT_LEFT, "The client left."))
        pieces.append(message.get("body", b""))
        received += len(pieces[-1])
        if received > MAX_BODY:
            raise BadRequest(too_large)
        share.take(len(pieces[-1]))
        more = message.get("more_body", False)
    return b"".join(pieces)


def request_id(scope: Scope) -> str:
    """The client's ``x-request-id`` where it is harmless, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode())
    return uuid.uuid4().hex


def timeout(scope: Scope) -> float | None:
    """Seconds within which the engine has to take the request, from ``x-adaptory-timeout``, or None.

    Raises:
        BadRequest: it is not between 0 and MAX_TIMEOUT.
    """
    sent = next((value for name, value in scope["headers"] if name == b"x-adaptory-timeout"), None)
    if sent is None:
        return None
    seconds = float(sent) if _SECONDS.fullmatch(sent) else 0.0
    if not 0 < seconds <= MAX_TIMEOUT:
        message = f"x-adaptory-timeout has to be a number of seconds, above 0 and up to {MAX_TIMEOUT:.0f}."
        raise BadRequest(OpenAIError(400, message, code="invalid_timeout"))
    return seconds
