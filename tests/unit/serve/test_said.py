"""What the desk reads out of an engine's answers, and what it does with bytes that are none."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.tally import CURRENT, Tally
from serve.release.ledger import MINUTE, MINUTES, MOST_VERSIONS, Ledger, Observed
from serve.release.said import MOST_BYTES, Said, Transcript, demands_json

CHAT, TEXT, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"
CALL = {"id": "1", "function": {"name": "look", "arguments": "{}"}}


def read(path: str, body: bytes, pieces: int = 1) -> Said | None:
    transcript = Transcript(path, asked=False)
    step = max(1, len(body) // pieces)
    for start in range(0, len(body), step):
        transcript.add(body[start : start + step])
    return transcript.read()


def events(*documents: dict[str, Any]) -> bytes:
    written = (b"event: x\ndata: " + json.dumps(document).encode() + b"\n\n" for document in documents)
    return b"".join(written) + b"data: [DONE]\n\n"


def whole(choice: dict[str, Any]) -> bytes:
    return json.dumps({"choices": [{"index": 1, "text": "other"}, {"index": 0} | choice]}).encode()


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (CHAT, whole({"message": {"content": "hi"}}), Said("hi")),
        (CHAT, whole({"message": {"content": None, "tool_calls": [CALL]}}),
         Said('[{"name": "look", "arguments": "{}"}]', tool=True)),
        (CHAT, whole({"message": {"content": "hi"}, "logprobs": {"content": [{"logprob": -1}, {"logprob": -2}]}}),
         Said("hi", logprob=-1.5)),
        (CHAT, events({"choices": [{"delta": {"content": "h"}}]}, {"choices": [{"delta": {"content": "i"}}]},
                      {"choices": [], "usage": {}}), Said("hi")),
        (TEXT, whole({"text": "hi", "logprobs": {"token_logprobs": [None, -3.0]}}), Said("hi", logprob=-3.0)),
        (TEXT, events({"choices": [{"text": "h"}]}, {"choices": [{"text": "i"}]}), Said("hi")),
        (RESPONSES, json.dumps({"output": [{"type": "message", "content": [{"text": "hi"}]}]}).encode(), Said("hi")),
        (RESPONSES, json.dumps({"output": [{"type": "function_call"}]}).encode(), Said("", tool=True)),
        (RESPONSES, events({"type": "response.created"}, {"type": "response.output_text.delta", "delta": "hi"}),
         Said("hi")),
        (CHAT, b"not JSON", None),
        (CHAT, b"[1]", None),
        (CHAT, whole({"message": {"content": "x" * MOST_BYTES}}), None),
    ],
)  # fmt: skip
def test_answers_are_read(path: str, body: bytes, said: Said | None) -> None:
    assert read(path, body) == read(path, body, 7) == said


@given(st.sampled_from([CHAT, TEXT, RESPONSES]), st.one_of(
    st.binary(max_size=60),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "text", "logprobs", "output"]), inner, max_size=3),
    ).map(lambda document: json.dumps(document).encode()),
))  # fmt: skip
@settings(max_examples=150, deadline=None)
def test_whatever_an_engine_says_harms_nobody(path: str, body: bytes) -> None:
    for written in (body, b"data: " + body + b"\n"):
        said = read(path, written)
        if said:
            said.count(Tally(), asked=True)


@pytest.mark.parametrize(
    ("text", "is_json"),
    [('{"a": 1}', True), (" [1]\n", True), ("{}", True), ("7", False), ("{a}", False), ('{"a": 1} ok', False),
     ("[" * 5000, False), ("", False)],
)  # fmt: skip
def test_json_is_an_object_or_a_list_and_nothing_else(text: str, is_json: bool) -> None:
    assert Said(text).json is is_json


def test_who_wants_json() -> None:
    for wants in (
        {"response_format": {"type": "json_schema"}},
        {"text": {"format": {"type": "json_object"}}},
        {"structured_outputs": {"json": {"type": "object"}}},
    ):
        assert demands_json(wants)
    frees: list[dict[str, Any]] = [
        {},
        {"response_format": {"type": "text"}},
        {"text": "x"},
        {"response_format": {"type": []}},
        {"text": {"format": {"type": {}}}},
        {"structured_outputs": {"regex": "a"}},
    ]
    for free in frees:
        assert not demands_json(free)


def seen(digest: str) -> Observed:
    return Observed(("demo", "live"), digest, "", None, failed=False, first=None, seconds=1.0, said=None, asked=False)


def test_memory_of_what_was_usual_is_bounded() -> None:
    now = 0.0
    ledger = Ledger(lambda: now)
    for number in range(2 * MOST_VERSIONS):
        ledger.observe(seen(str(number)))
    for minute in range(3 * MINUTES):
        now = minute * MINUTE
        ledger.observe(seen("old"))
    assert len(ledger._recent) == MOST_VERSIONS
    assert len(ledger._recent["demo", "live", "old"]) == MINUTES + 1
    ledger.add("ended", CURRENT, Tally({"requests": 1}))
    assert not ledger.take("ended")
    assert not ledger.totals
