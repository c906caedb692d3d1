import json

import pytest

from registry.errors import AdaptoryError, InvalidInput, NotFound, Unavailable
from serve.errors import (
    AdapterRefused,
    DeadlinePassed,
    EngineAway,
    KeyRefused,
    QueueFull,
    RateLimited,
    ScopeMissing,
)
from serve.gateway.openai_errors import from_adaptory, from_engine


@pytest.mark.parametrize(
    ("error", "status", "code", "retry"),
    [
        (NotFound("no"), 404, "model_not_found", False),
        (QueueFull("no"), 429, "queue_full", True),
        (RateLimited("no", 6.1), 429, "rate_limit_exceeded", True),
        (KeyRefused("no"), 401, "invalid_api_key", False),
        (ScopeMissing("no"), 403, "missing_scope", False),
        (DeadlinePassed("no"), 504, "deadline_exceeded", False),
        (EngineAway("no"), 503, "engine_unavailable", True),
        (Unavailable("no"), 503, "engine_unavailable", True),
        (AdapterRefused("no"), 422, "adapter_refused", False),
        (InvalidInput("no", "Type this."), 400, None, False),
        (AdaptoryError("no"), 500, None, False),
    ],
)
def test_each_error_has_its_status(error: AdaptoryError, status: int, code: str | None, retry: bool) -> None:
    told = from_adaptory(error)
    assert told.status == status
    assert ("retry-after" in told.headers) == retry
    body = json.loads(told.body)["error"]
    assert set(body) == {"message", "type", "param", "code"}
    assert body["code"] == code
    assert body["message"] == f"{error.message} {error.hint}".strip()


def test_the_engine_s_name_for_an_adapter_is_not_shown() -> None:
    answer = json.dumps({"error": {"message": "The model `sha256-ab` is tired", "param": None, "code": 400}}).encode()
    assert (
        from_engine(400, answer, "sha256-ab", "demo:1").to_json()["error"]["message"] == "The model `demo:1` is tired"
    )


def test_an_engine_that_speaks_no_json_is_still_an_error() -> None:
    assert from_engine(500, b"<html>", "x", "y").kind == "server_error"


def test_a_client_is_told_when_to_come_back() -> None:
    assert from_adaptory(RateLimited("no", 6.1)).headers["retry-after"] == "7"
    assert from_adaptory(QueueFull("no")).headers["retry-after"] == "2"
