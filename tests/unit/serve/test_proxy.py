import asyncio
import json
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.gateway.bodies import Bodies, Share
from serve.gateway.openai_errors import BadRequest
from serve.gateway.question import MAX_BODY, MAX_PARTS, Question, parse, read_body, request_id


def body_of(pieces: list[bytes], headers: list[tuple[bytes, bytes]], bodies: Bodies | None = None) -> bytes:
    messages = deque({"type": "http.request", "body": piece, "more_body": True} for piece in pieces)

    async def receive() -> dict[str, Any]:
        return messages.popleft() if messages else {"type": "http.request", "body": b"", "more_body": False}

    with (bodies or Bodies()).share() as share:
        return asyncio.run(read_body({"headers": headers}, receive, 10.0, share))


def test_a_body_comes_in_pieces() -> None:
    assert body_of([b"ab", b"c"], []) == b"abc"


def test_all_bodies_together_have_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve.gateway.bodies.MOST_HELD", 10)
    bodies = Bodies()
    with bodies.share() as other:
        other.take(8)
        with pytest.raises(BadRequest) as caught:
            body_of([b"ab", b"c"], [], bodies)
        assert (caught.value.error.status, caught.value.error.headers["retry-after"]) == (503, "2")
        assert bodies.held == 8
    assert body_of([b"ab", b"c"], [], bodies) == b"abc"
    assert bodies.held == 0


@pytest.mark.parametrize(
    ("pieces", "headers"),
    [([b"x" * (MAX_BODY + 1)], []), ([], [(b"content-length", str(MAX_BODY + 1).encode())])],
)
def test_a_body_has_a_limit_whether_or_not_it_says_its_size(
    pieces: list[bytes], headers: list[tuple[bytes, bytes]]
) -> None:
    with pytest.raises(BadRequest) as caught:
        body_of(pieces, headers)
    assert caught.value.error.status == 413


@given(st.one_of(st.binary(), st.recursive(st.none() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
                 .map(lambda document: json.dumps(document).encode())))  # fmt: skip
def test_whatever_is_no_request_is_a_400(body: bytes) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(body, Share(Bodies()))
    assert caught.value.error.status == 400


def test_deep_nesting_is_a_400() -> None:
    with pytest.raises(BadRequest):
        parse(b"[" * 100_000, Share(Bodies()))


def asks(**document: Any) -> Question:
    return parse(json.dumps({"model": "m"} | document).encode(), Share(Bodies()))


def test_a_request_asks_for_so_many_answers() -> None:
    assert asks(prompt="one", n=3).answers == 3
    assert asks(prompt=["one", "two"], n=3, best_of=4).answers == 8
    assert asks(prompt=[[1, 2], [3]]).answers == 2
    assert asks(prompt=[1, 2, 3], n="many").answers == 1
    assert asks(prompt=[]).answers == 0
    assert asks(prompt=[]).demand.answers == 1
    assert 950 < asks(prompt="x" * 4000, n=3).demand.prompt < 1000


@pytest.mark.parametrize("asked", [{"n": 129}, {"prompt": ["x"] * 129}, {"prompt": ["x"] * 65, "best_of": 2}])
def test_one_turn_is_not_for_thousands_of_answers(asked: dict[str, Any]) -> None:
    with pytest.raises(BadRequest) as caught:
        asks(**asked)
    assert (caught.value.error.status, caught.value.error.code) == (400, "too_many_answers")


def test_what_a_body_takes_once_it_is_read_is_counted() -> None:
    share = Share(Bodies())
    parse(json.dumps({"model": "m", "messages": [{}] * 1000}).encode(), share)
    assert share.size > 100_000
    with pytest.raises(BadRequest) as caught:
        parse(b"[" + b"{}," * MAX_PARTS + b"1]", share)
    assert caught.value.error.status == 413


@pytest.mark.parametrize("harmful", [b"a b", b"x" * 129, b"\xff", b"", b"a\r\nb"])
def test_only_a_harmless_request_id_is_kept(harmful: bytes) -> None:
    assert request_id({"headers": [(b"x-request-id", b"mine-1")]}) == "mine-1"
    assert len(request_id({"headers": [(b"x-request-id", harmful)]})) == 32
