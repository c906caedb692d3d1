"""Connection: requests to a registry's server, and its problems as the errors that they were there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from registry import errors
from registry.errors import AdaptoryError, InvalidInput, NotFound, Unavailable

T = TypeVar("T")

TYPE = "urn:adaptory:error:"
SECONDS = httpx.Timeout(30.0, connect=10.0)
"""Of silence."""

PROVING = 300.0
"""Seconds of silence where a server proves every value of an adapter, or hashes what was sent, before it answers."""

MOVING = 1800.0
"""The same where it brings an artifact of many GB to its blob store, or collects garbage there."""


class Connection:
    """Talks to one server; may be used from any thread.

    Attributes:
        url: the server's, without a slash at its end.
    """

    def __init__(self, url: str, api_key: str = "") -> None:
        self.url = url.rstrip("/")
        if not all("!" <= character <= "~" for character in api_key):
            raise InvalidInput("ADAPTORY_API_KEY is no API key.", "It looks like ak-..., without spaces or line ends.")
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        try:
            parsed = httpx.URL(self.url)
        except httpx.InvalidURL:
            parsed = httpx.URL()
        if not parsed.host or parsed.userinfo:  # a password would stand in every error
            raise InvalidInput("ADAPTORY_REGISTRY is no URL of a server.", "Write https://HOST:PORT.")
        self._client = httpx.Client(base_url=self.url, headers=headers, timeout=SECONDS)

    def ask(self, kind: Any, method: str, path: str, *parts: str, silence: float | None = None, **options: Any) -> Any:
        """Send a request and read the answer.

        Args:
            kind: type of the answer; None where there is none to read.
            method: HTTP's.
            path: with ``{}`` for each of ``parts``, which are quoted.
            parts: names, references, digests.
            silence: as for ``stream``.
            options: of ``httpx.Client.request``; ``json`` may be anything that pydantic can write.

        Raises:
            AdaptoryError: the very error that the server met.
            Unavailable: there is no server, or none that speaks so.
        """
        if "json" in options:
            options["content"] = _any().dump_json(options.pop("json"))
            options["headers"] = {"content-type": "application/json", **options.get("headers", {})}
        # Followed, anything but a GET would become one (RFC 9110, 15.4), and do nothing.
        options |= {"follow_redirects": method == "GET", "timeout": _timeout(silence)}
        with self._answering():
            response = self._client.request(method, _filled(path, parts), **options)
        if response.next_request:
            moved = response.next_request.url.copy_with(path="/", query=None, fragment=None)
            raise Unavailable(f"The registry at {self.url} redirects to {moved}.", "Set ADAPTORY_REGISTRY to it.")
        _raise_problem(response)
        if kind is None:
            return None
        try:
            return _adapter(kind).validate_json(response.content)
        except (ValidationError, AdaptoryError) as error:
            raise Unavailable(f"What answers at {self.url} is no registry that this version understands.") from error

    @contextmanager
    def stream(
        self, path: str, *parts: str, headers: Mapping[str, str], silence: float | None = None, **params: Any
    ) -> Iterator[httpx.Response]:
        """A GET whose body is read piece by piece; raises as ``ask``, also for what goes wrong while it is read.

        ``silence`` is how many seconds without a byte are taken for a cut, instead of those of SECONDS.
        """
        asked = self._client.stream(
            "GET",
            _filled(path, parts),
            headers=headers,
            params=params,
            timeout=_timeout(silence),
            follow_redirects=True,
        )
        with self._answering(), asked as response:
            if response.is_error:
                response.read()
                _raise_problem(response)
            yield response

    def close(self) -> None:
        """Close what is open."""
        self._client.close()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise Unavailable(
                f"The registry at {self.url} does not answer ({reason}).", "Is `registry serve` running there?"
            ) from error
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise Unavailable(f"The registry at {self.url} leads nowhere ({error}).") from error


def _timeout(silence: float | None) -> httpx.Timeout:
    return SECONDS if silence is None else httpx.Timeout(30.0, connect=10.0, read=silence)


def _filled(path: str, parts: tuple[str, ...]) -> str:
    return path.format(*(quote(part, safe="/:@") for part in parts))


def _raise_problem(response: httpx.Response) -> None:
    """Raise the error that a response reports; one that no registry wrote is told by its status."""
    if response.is_success:
        return
    try:
        document = response.json()
        name = document["type"].removeprefix(TYPE)
        message, hint = str(document["detail"]), str(document.get("hint", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        name, message, hint = "", f"{response.url.host} answered {response.status_code} {response.reason_phrase}.", ""
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, AdaptoryError)):
        kind = NotFound if response.status_code == 404 else Unavailable
    error = kind.__new__(kind)
    AdaptoryError.__init__(error, message, hint)  # some of them make their message themselves, from other arguments
    raise error


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _any() -> TypeAdapter[Any]:
    return _adapter(Any)
