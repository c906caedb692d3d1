"""Said: what a version answered, read from the engine's bytes after the client has them."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.tally import Tally

MOST_BYTES = 64 << 10
"""Longer answers are counted, but not read."""

COMPARED = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
"""Paths whose answers are text."""


@dataclass(frozen=True, slots=True)
class Said:
    """An answer.

    Attributes:
        text: of the first choice; calls of tools as JSON where there is no text.
        tool: whether it is a call of a tool.
        logprob: mean log-probability of its tokens, nats, or None where the client did not ask for them.
    """

    text: str
    tool: bool = False
    logprob: float | None = None

    @property
    def json(self) -> bool:
        """Whether it is a JSON object or list, and nothing else."""
        text = self.text.strip()
        if not text.startswith(("{", "[")):
            return False
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
        return True

    def count(self, tally: Tally, *, asked: bool) -> None:
        """Take it down; ``asked``: whether JSON was demanded."""
        tally.observe("length", len(self.text))
        if self.logprob is not None:
            tally.observe("logprob", self.logprob)
        if not self.tool:
            kind = "asked" if asked else "free"
            tally.count(kind)
            tally.count(f"{kind}_json", int(self.json))


@dataclass(slots=True, weakref_slot=True, eq=False)
class Transcript:
    """The engine's bytes of one answer, at most MOST_BYTES of them.

    Attributes:
        path: the endpoint.
        asked: whether JSON was demanded.
    """

    path: str
    asked: bool
    _pieces: list[bytes] = field(default_factory=list)
    _room: int = MOST_BYTES

    def add(self, piece: bytes) -> None:
        """Keep a piece, as long as there is room for the whole."""
        self._room -= len(piece)
        if self._room >= 0:
            self._pieces.append(piece)
        else:
            self._pieces.clear()

    def read(self) -> Said | None:
        """What was answered, or None where it was too long or is not understood."""
        if self._room < 0:
            return None
        try:
            return _read(self.path, b"".join(self._pieces))
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
            return None  # the engine's business: the client has it as it is


def demands_json(document: Mapping[str, Any]) -> bool:
    """Whether a request wants JSON: ``response_format``, the responses API's ``text.format``, or vLLM's own field."""
    wanted = [document.get("response_format")]
    if isinstance(text := document.get("text"), dict):
        wanted.append(text.get("format"))
    if any(isinstance(each, dict) and each.get("type") in ("json_object", "json_schema") for each in wanted):
        return True
    structured = document.get("structured_outputs")
    return isinstance(structured, dict) and bool(structured.get("json") or structured.get("json_object"))


def _read(path: str, body: bytes) -> Said | None:
    parts = list(_events(body)) if body.startswith((b"data:", b"event:")) else [json.loads(body)]
    if path == "/v1/responses":
        return _responses(parts)
    texts: list[str] = []
    calls: list[Any] = []
    logprobs: list[float] = []
    for part in parts:
        for choice in part.get("choices", []):
            if choice.get("index", 0) == 0:
                message = choice.get("message") or choice.get("delta") or {}
                texts.append(choice.get("text") or message.get("content") or "")
                calls += [call.get("function") for call in message.get("tool_calls") or []]
                logprobs += _logprobs(choice.get("logprobs") or {})
    mean = math.fsum(logprobs) / len(logprobs) if logprobs else None
    text = "".join(texts)
    return Said(text or json.dumps(calls), bool(calls), mean) if calls else Said(text, logprob=mean)


def _responses(parts: list[Any]) -> Said:
    """Of the responses API: a stream's pieces, or the finished object's messages."""
    if parts and "output" in parts[0]:
        contents = [content for item in parts[0]["output"] for content in item.get("content") or []]
        called = [item for item in parts[0]["output"] if item["type"] == "function_call"]
        return Said("".join(content.get("text") or "" for content in contents), bool(called))
    called = [part for part in parts if str(part.get("type")).startswith("response.function_call")]
    return Said(
        "".join(part["delta"] for part in parts if part.get("type") == "response.output_text.delta"), bool(called)
    )


def _logprobs(found: Mapping[str, Any]) -> Iterator[float]:
    """Of chat completions, and of completions."""
    for token in found.get("content") or []:
        yield token["logprob"]
    for value in found.get("token_logprobs") or []:
        if value is not None:  # the first token of an echoed prompt has none
            yield value


def _events(body: bytes) -> Iterator[Any]:
    for line in body.splitlines():
        if line.startswith(b"data: {"):
            yield json.loads(line[6:])
