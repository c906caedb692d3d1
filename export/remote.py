"""A server that speaks OpenAI's API, asked with streaming."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx

from export.prompts import Messages
from registry.errors import AdaptoryError, InvalidInput, NotFound, Unavailable

TIMEOUT = httpx.Timeout(None, connect=5.0)
"""Seconds to reach the server; an answer may take as long as it takes."""


def stream(
    server: str, model: str, headers: Mapping[str, str], messages: Messages, options: Mapping[str, Any]
) -> Iterator[str]:
    """Ask, and give the answer's text piece by piece.

    Args:
        server: URL without ``/v1``.
        model: an adapter's reference or the base's name.
        headers: of the request.
        messages: the conversation.
        options: ``max_tokens`` and ``temperature``.

    Raises:
        Unavailable: nothing answers there, or the answer broke off.
        NotFound, InvalidInput: what the server says of the request.
    """
    body = {"model": model, "messages": list(messages), "stream": True, **options}
    url = f"{server.rstrip('/')}/v1/chat/completions"
    try:
        with httpx.stream("POST", url, json=body, headers=headers, timeout=TIMEOUT) as response:
            if response.status_code != httpx.codes.OK:
                response.read()
                raise _refusal(response)
            yield from _pieces(response.iter_lines())
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(
            f"No server answers at {server} ({type(error).__name__}).",
            "adaptory serve --base NAME, or add --local to answer from the version's GGUF.",
        ) from error


def _pieces(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        event = json.loads(data)
        if "error" in event:
            raise Unavailable(f"The answer broke off: {event['error'].get('message', 'no reason given')}")
        choices: Sequence[dict[str, Any]] = event.get("choices", [])
        if choices and (text := choices[0].get("delta", {}).get("content")):
            yield text
    raise Unavailable("The answer broke off: the server closed the connection.", "Try again.")


def _refusal(response: httpx.Response) -> AdaptoryError:
    try:
        message = str(response.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        message = f"The server answered {response.status_code}."
    if response.status_code == httpx.codes.NOT_FOUND:
        return NotFound(message)
    return InvalidInput(message) if response.status_code < 500 else Unavailable(message)
