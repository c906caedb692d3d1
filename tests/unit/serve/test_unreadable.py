"""Exceptions on the way from a request to its answer. vLLM's modules are stood for by their names."""

from types import FunctionType

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from serve.engine.unreadable import Unreadable


def stumble() -> None:
    raise AssertionError


def client(module: str) -> TestClient:
    there = FunctionType(stumble.__code__, {"__name__": module, "__builtins__": __builtins__})

    async def endpoint(request: Request) -> PlainTextResponse:
        if await request.body():
            there()
        return PlainTextResponse("well")

    app = Starlette(routes=[Route("/", endpoint, methods=["POST"])])
    app.add_middleware(Unreadable)
    return TestClient(app)


@pytest.mark.parametrize("module", ["vllm.renderers.chat_utils", "vllm.entrypoints.chat_utils"])
def test_what_cannot_be_read_is_told(module: str) -> None:
    answer = client(module).post("/", content=b"odd")
    assert answer.status_code == 400
    assert "AssertionError" in answer.json()["error"]["message"]


def test_a_fault_elsewhere_stays_one() -> None:
    with pytest.raises(AssertionError):
        client("vllm.v1.engine.async_llm").post("/", content=b"odd")


def test_what_can_be_read_is_answered() -> None:
    assert client("vllm.renderers.chat_utils").post("/").text == "well"
