"""Errors as OpenAI's API reports them: ``{"error": {"message", "type", "param", "code"}}``."""

import json
from dataclasses import dataclass
from typing import Any

from registry.errors import AdaptoryError, NotFound, Unavailable
from serve.errors import AdapterRefused, QueueFull

RETRY_SECONDS = 2
"""What ``Retry-After`` says on 429 and 503."""


@dataclass(frozen=True, slots=True)
class OpenAIError:
    """An error for a client.

    Attributes:
        status: of the HTTP response.
        message: one line.
        kind: OpenAI's ``type``.
        code: OpenAI's ``code``, or None.
        param: the field that is wrong, or None.
    """

    status: int
    message: str
    kind: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Headers that belong to it."""
        retry = {"retry-after": str(RETRY_SECONDS)} if self.status in {429, 503} else {}
        return {"content-type": "application/json"} | retry

    @property
    def body(self) -> bytes:
        """The JSON of the response."""
        return json.dumps(self.to_json()).encode()

    @property
    def event(self) -> bytes:
        """The same within a stream of server-sent events, for a failure after the stream began."""
        return b"data: " + self.body + b"\n\n"

    def to_json(self) -> dict[str, Any]:
        """OpenAI's error object."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def from_adaptory(error: AdaptoryError) -> OpenAIError:
    """Tell a client of one of our own errors."""
    message = f"{error.message} {error.hint}".strip()
    match error:
        case NotFound():
            return OpenAIError(404, message, code="model_not_found", param="model")
        case QueueFull():
            return OpenAIError(429, message, "rate_limit_error", "queue_full")
        case AdapterRefused():
            return OpenAIError(422, message, code="adapter_refused", param="model")
        case Unavailable():
            return OpenAIError(503, message, "server_error", "engine_unavailable")
        case _:
            kind = "invalid_request_error" if error.http_status < 500 else "server_error"
            return OpenAIError(error.http_status, message, kind)


def from_engine(status: int, answer: bytes, engine_name: str, model: str) -> OpenAIError:
    """Tell a client what the engine said, under the name that the client used."""
    try:
        error = json.loads(answer)["error"]
        message, param = str(error["message"]), error.get("param")
    except (ValueError, KeyError, TypeError, AttributeError):
        message, param = f"The engine answered with status {status}.", None
    kind = "invalid_request_error" if status < 500 else "server_error"
    return OpenAIError(status, message.replace(engine_name, model), kind, param=str(param) if param else None)
