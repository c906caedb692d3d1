"""Engine: the client of one running engine, over its Unix socket."""

import errno
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

from serve.errors import AdapterRefused, EngineLost

ORIGIN = "http://engine"
SETUP_TIMEOUT = aiohttp.ClientTimeout(total=300)
HEALTH_TIMEOUT = aiohttp.ClientTimeout(total=10)
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=None)
READ_BUFFER = 1 << 16


class Engine:
    """One running engine. It knows adapters by the names and folders it is told here, never by a client's words."""

    def __init__(self, socket: Path) -> None:
        connector = aiohttp.UnixConnector(path=str(socket), limit=0, keepalive_timeout=60)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=REQUEST_TIMEOUT, auto_decompress=False, read_bufsize=READ_BUFFER
        )

    async def __aenter__(self) -> "Engine":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of every connection; requests in flight fail."""
        await self._session.close()

    async def healthy(self) -> bool:
        """Whether it answers and its worker processes live; yes where this process has no descriptor left to ask."""
        try:
            async with self._session.get(f"{ORIGIN}/health", timeout=HEALTH_TIMEOUT) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return getattr(error, "errno", None) in {errno.EMFILE, errno.ENFILE}

    async def paths(self) -> set[str]:
        """The routes it has, from its OpenAPI document."""
        async with self._session.get(f"{ORIGIN}/openapi.json", timeout=SETUP_TIMEOUT) as response:
            return set(json.loads(await response.read())["paths"])

    async def load(self, name: str, folder: Path) -> None:
        """Make the adapter in ``folder`` callable as ``name``.

        Raises:
            AdapterRefused: the engine cannot serve it.
            EngineLost: it does not answer, or failed over it.
        """
        asked = {"lora_name": name, "lora_path": str(folder)}
        await self._try("/v1/load_lora_adapter", asked, "The engine cannot load this adapter")

    async def unload(self, name: str) -> None:
        """Make it forget a name; a name that it does not know is no error.

        Raises:
            EngineLost: it does not answer.
        """
        await self.post("/v1/unload_lora_adapter", {"lora_name": name})

    async def prompt_logprobs(self, model: str, prompt: str) -> list[float | None]:
        """The log-probability of each token of ``prompt`` but the first, natural logarithm.

        Raises:
            AdapterRefused: the engine could not compute them.
            EngineLost: it does not answer, or failed over it.
        """
        question = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 0}
        answer = await self._try("/v1/completions", question, "The engine gives no answer with this adapter")
        values: list[float | None] = json.loads(answer)["choices"][0]["logprobs"]["token_logprobs"]
        return values[1:]

    async def complete(self, model: str, prompt: str) -> None:
        """Have it answer with one token.

        Raises:
            AdapterRefused: it could not.
            EngineLost: it does not answer, or failed over it.
        """
        question = {"model": model, "prompt": prompt, "max_tokens": 1}
        await self._try("/v1/completions", question, "The engine gives no answer with this version")

    async def post(self, path: str, document: dict[str, Any]) -> tuple[int, bytes]:
        """Ask for something small: status and body.

        Raises:
            EngineLost: it does not answer.
        """
        try:
            async with self._session.post(f"{ORIGIN}{path}", json=document, timeout=SETUP_TIMEOUT) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise EngineLost("The engine went away.") from error

    async def _try(self, path: str, document: dict[str, Any], refusal: str) -> bytes:
        """Ask for something with an adapter that may be what the engine fails over."""
        status, answer = await self.post(path, document)
        if status >= 500 and not await self.healthy():
            raise EngineLost("The engine has failed and is restarted.", "Try again in a few seconds.")
        if status != 200:
            raise AdapterRefused(f"{refusal}: {_reason(answer)}")
        return answer

    def forward(
        self, path: str, body: bytes, request_id: str, trace: Mapping[str, str]
    ) -> "aiohttp.client._RequestContextManager":
        """Start a client's request; leaving the context before the end cancels it in the engine."""
        headers = {"content-type": "application/json", "x-request-id": request_id, **trace}
        return self._session.post(f"{ORIGIN}{path}", data=body, headers=headers)


def lacks_model(answer: bytes) -> bool:
    """Whether a 404 says that the engine does not know the model, and not, say, ``previous_response_id`` (0.32)."""
    try:
        return bool(json.loads(answer)["error"]["param"] == "model")
    except (ValueError, KeyError, TypeError):
        return False


def _reason(answer: bytes) -> str:
    """The engine's own words, first line, bounded."""
    try:
        message = str(json.loads(answer)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = answer.decode("utf-8", "replace")
    return message.strip().partition("\n")[0][:300]
