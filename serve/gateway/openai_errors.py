"""Errors as OpenAI's API reports them: ``{"error": {"message", "type", "param", "code"}}``."""

import json
import math
from dataclasses import dataclass
from typing import Any

from registry.errors import AdaptoryError, NotFound, Unavailable
from serve.errors import AdapterRefused, DeadlinePassed, KeyRefused, QueueFull, RateLimited, ScopeMissing

INVALID = "invalid_request_error"
LIMIT = "rate_limit_error"
SERVER = "server_error"

RETRY_SECONDS = 2
"""What ``Retry-After`` says on 429 and 503 where nothing more exact is known."""


EVENT = b"data: "


@dataclass(frozen=True, slots=True)
class OpenAIError:
    """An error for a client.

    Attributes:
        status: of the HTTP response.
        message: one line.
        kind: OpenAI's ``type``.
        code: OpenAI's ``code``, or None.
        param: the field that is wrong, or None.
        retry_after: seconds, where trying again helps.
    """

    status: int
    message: str
    kind: str = INVALID
    code: str | None = None
    param: str | None = None
    retry_after: float = RETRY_SECONDS

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to it."""
        headers = {"content-type": "application/json"}
        match self.status:
            case 401:
                headers["www-authenticate"] = "Bearer"
            case 408:
                headers["connection"] = "close"  # the rest of a slow body is not waited for either
            case 429 | 503:
                headers["retry-after"] = str(math.ceil(self.retry_after))
        return headers

    @property
    def body(self) -> bytes:
        """The JSON of the response."""
        return json.dumps(self.to_json()).encode()

    @property
    def event(self) -> bytes:
        """The same within a stream of server-sent events, for a failure after the stream began."""
        return EVENT + self.body + b"\n\n"

    def to_json(self) -> dict[str, Any]:
        """OpenAI's error object."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


class BadRequest(Exception):
    """A request that goes no further."""

    def __init__(self, error: OpenAIError) -> None:
        super().__init__(error.message)
        self.error = error


TOLD: tuple[tuple[type[AdaptoryError], int, str, str, str | None], ...] = (
    (NotFound, 404, INVALID, "model_not_found", "model"),
    (KeyRefused, 401, INVALID, "invalid_api_key", None),
    (ScopeMissing, 403, INVALID, "missing_scope", None),
    (RateLimited, 429, LIMIT, "rate_limit_exceeded", None),
    (QueueFull, 429, LIMIT, "queue_full", None),
    (DeadlinePassed, 504, SERVER, "deadline_exceeded", None),
    (AdapterRefused, 422, INVALID, "adapter_refused", "model"),
    (Unavailable, 503, SERVER, "engine_unavailable", None),
)
"""Our errors, the narrower kind first -> status, ``type``, ``code`` and ``param``."""


def from_adaptory(error: AdaptoryError) -> OpenAIError:
    """Tell a client of one of our own errors."""
    message = f"{error.message} {error.hint}".strip()
    wait = error.retry_after if isinstance(error, RateLimited) else RETRY_SECONDS
    for kind, status, type_, code, param in TOLD:
        if isinstance(error, kind):
            return OpenAIError(status, message, type_, code, param, wait)
    return OpenAIError(error.http_status, message, INVALID if error.http_status < 500 else SERVER)


def from_stream(line: bytes) -> tuple[int, bytes]:
    """The status and the body of the error that vLLM sends as an event: it answers 200 before it computes (0.32)."""
    body = line.removeprefix(EVENT)
    try:
        status = json.loads(body)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        status = None
    return (status if isinstance(status, int) and 400 <= status < 600 else 500), body


def from_engine(status: int, answer: bytes, engine_name: str, model: str) -> OpenAIError:
    """Tell a client what the engine said, under the name that the client used."""
    try:
        error = json.loads(answer)["error"]
        message, param = str(error["message"]), error.get("param")
    except (ValueError, KeyError, TypeError, AttributeError):
        message, param = f"The engine answered with status {status}.", None
    kind = INVALID if status < 500 else SERVER
    return OpenAIError(status, message.replace(engine_name, model), kind, param=str(param) if param else None)
