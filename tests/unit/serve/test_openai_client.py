"""The official client, unmodified: what it makes of our refusals. It takes a second to import: only here."""

import asyncio
import json
import socket
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from registry.api_key import Limits
from registry.base_model import BaseModel
from registry.store import Registry
from tests.unit.serve.conftest import Push
from tests.unit.serve.gateway_parts import Gateway, gateway, served

ANSWER = json.dumps(
    {"id": "1", "object": "text_completion", "created": 1, "model": "tiny",
     "choices": [{"text": "b", "index": 0, "finish_reason": "stop", "logprobs": None}],
     "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}, separators=(",", ":")
).encode()  # fmt: skip


async def engine(_scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": ANSWER})


def test_keys(registry: Registry, base: BaseModel, push: Push, tmp_path: Path) -> None:
    import openai

    push("demo")
    good = registry.keys.create("good", actor="test", limits=Limits(requests_per_minute=1)).token
    other = registry.keys.create("other", actor="test", adapters=("other",)).token
    reader = registry.keys.create("reader", actor="test", scopes=("read",)).token

    async def story(opened: Gateway) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            async with opened.with_engine(tmp_path, engine), served(opened.app, listener):

                async def ask(key: str, model: str = base.name) -> str:
                    async with openai.AsyncOpenAI(base_url=url, api_key=key, max_retries=0) as client:
                        return (await client.completions.create(model=model, prompt="a")).choices[0].text

                with pytest.raises(openai.AuthenticationError):
                    await ask("none")
                with pytest.raises(openai.PermissionDeniedError):
                    await ask(reader)
                with pytest.raises(openai.NotFoundError):
                    await ask(other, "demo:1")
                assert await ask(good) == "b"
                with pytest.raises(openai.RateLimitError) as caught:
                    await ask(good)
                assert int(caught.value.response.headers["retry-after"]) > 0
                registry.keys.revoke("good")
                while True:  # until the gateway has heard of it
                    try:
                        await ask(good)
                    except openai.AuthenticationError:
                        return
                    except openai.RateLimitError:
                        await asyncio.sleep(0.05)

    with gateway(registry, base, tmp_path, keys=True) as opened:
        opened.run(story(opened))


def test_without_keys_any_will_do(registry: Registry, base: BaseModel, tmp_path: Path) -> None:
    import openai

    async def story(opened: Gateway) -> str:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
            async with (
                opened.with_engine(tmp_path, engine),
                served(opened.app, listener),
                openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client,
            ):
                return (await client.completions.create(model=base.name, prompt="a")).choices[0].text

    with gateway(registry, base, tmp_path, keys=False) as opened:
        assert opened.run(story(opened)) == "b"
