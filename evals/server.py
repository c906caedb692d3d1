"""Server: asks the set-up that serves, and proves for every answer which version and profile gave it."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx

from evals.errors import ServerAway
from evals.items import Item
from registry.errors import AdaptoryError, NotFound

ATTEMPTS = 8
TIMEOUT = httpx.Timeout(600, connect=5)
DIGEST_HEADER = "x-adaptory-digest"
PROFILE_HEADER = "x-adaptory-profile"


class Server:
    """An OpenAI-compatible server of ours."""

    def __init__(self, url: str, client: httpx.Client) -> None:
        self._url = url
        self._client = client

    @classmethod
    @contextmanager
    def connect(cls, url: str, concurrency: int, headers: Mapping[str, str]) -> "Iterator[Server]":
        """Open connections to the server at ``url`` (``http://127.0.0.1:8000``), with ``headers`` on each request."""
        limits = httpx.Limits(max_connections=concurrency)
        with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, limits=limits) as client:
            yield cls(url, client)

    def profile(self) -> dict[str, Any]:
        """The ServingProfile, as JSON.

        Raises:
            ServerAway: nothing answers, or it is no server of ours.
        """
        response = self._send("GET", "/adaptory/profile")
        if response.status_code != 200:
            raise ServerAway(f"{self._url} answers, but is no adaptory server.", "adaptory serve --base NAME")
        document: dict[str, Any] = response.json()
        return document

    def serves(self, model: str) -> bool:
        """Whether a request of this key can name the model.

        Raises:
            ServerAway: nothing answers, or it is no server of ours.
        """
        response = self._send("GET", "/v1/models")
        if response.status_code != 200:
            raise self._refusal(response, model)
        return model in {entry["id"] for entry in response.json()["data"]}

    def ask(
        self,
        items: tuple[Item, ...],
        *,
        model: str,
        digest: str,
        profile: str,
        max_tokens: int,
        concurrency: int,
        on_answer: Callable[[], None],
    ) -> list[str]:
        """Ask every item, greedily; answers come in the items' order.

        Raises:
            ServerAway: the server stopped, or another version or profile answered.
        """

        def answer(item: Item) -> str:
            body = {"model": model, "messages": list(item.messages), "temperature": 0, "max_tokens": max_tokens}
            response = self._send("POST", "/v1/chat/completions", body)
            self._prove(response, model, digest, profile)
            on_answer()
            return str(response.json()["choices"][0]["message"]["content"] or "")

        with ThreadPoolExecutor(concurrency) as pool:
            try:
                return list(pool.map(answer, items))
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

    def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        """Send, and wait as told while the server says that it is busy or restarting."""
        for attempt in range(ATTEMPTS):
            try:
                response = self._client.request(method, path, json=body)
            except httpx.TransportError as error:
                raise ServerAway(
                    f"No server answers at {self._url} ({error}).", "adaptory serve --base NAME"
                ) from error
            if response.status_code not in {429, 503} or attempt == ATTEMPTS - 1:
                return response
            time.sleep(min(30.0, float(response.headers.get("retry-after", "2"))))
        raise AssertionError("unreachable: the last attempt returns")

    def _prove(self, response: httpx.Response, model: str, digest: str, profile: str) -> None:
        if response.status_code != 200:
            raise self._refusal(response, model)
        if response.headers.get(DIGEST_HEADER) != digest:
            raise ServerAway(f"The server answered for {model} with another version than the registry names.")
        if response.headers.get(PROFILE_HEADER) != profile:
            raise ServerAway("The server changed its profile during the evaluation.", "Evaluate again.")

    def _refusal(self, response: httpx.Response, model: str) -> AdaptoryError:
        try:
            reason = response.json()["error"]["message"]
        except (ValueError, KeyError, TypeError):
            reason = response.text[:200]
        kind = NotFound if response.status_code == 404 else ServerAway
        return kind(f"The server does not answer for {model} ({response.status_code}): {reason}")
