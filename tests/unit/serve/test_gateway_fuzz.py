"""Whatever a client sends, the gateway answers, and never with a 500."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.base_model import BaseModel
from registry.store import Registry
from serve.gateway.app import FORWARDED
from serve.gateway.question import MAX_BODY
from tests.unit.serve.conftest import Push
from tests.unit.serve.gateway_parts import Gateway, Reply, gateway

HEADERS = (b"authorization", b"x-api-key", b"x-adaptory-timeout", b"x-request-id", b"content-length", b"content-type",
           b"host", b"traceparent", b"accept", b"expect", b"transfer-encoding", b"")  # fmt: skip
PATHS = (*FORWARDED, "/v1/models", "/metrics", "/adaptory/profile", "/healthz", "/readyz", "/")

models = st.one_of(
    st.sampled_from(["demo:1", "demo", "tiny", "demo@prod", "demo@live", "demo:99999999999", "../../etc/passwd",
                     "/etc/passwd", "demo:1\x00", "%2e%2e/demo", "demo@sha256:" + "0" * 64, "\ud800", "a" * 100_000]),
    st.text(),
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats(), st.lists, max_leaves=5),
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
fields = st.sampled_from(["messages", "prompt", "input", "stream", "stream_options", "max_tokens", "n",
                          "response_format", "text", "structured_outputs"])  # fmt: skip
wants = st.dictionaries(st.sampled_from(["type", "format", "json"]), values)
documents = st.tuples(models, st.dictionaries(fields, values | wants)).map(lambda both: both[1] | {"model": both[0]})
bodies = st.one_of(st.binary(), values.map(json.dumps).map(str.encode), documents.map(json.dumps).map(str.encode))
headers = st.lists(st.tuples(st.sampled_from(HEADERS) | st.binary(), st.binary() | st.just(b"9" * 5000)))


@pytest.fixture
def opened(
    registry: Registry, base: BaseModel, push: Push, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Gateway]:
    registry.aliases.promote(str(push("demo")), "live", actor="test")
    monkeypatch.setattr("serve.release.desk.EVERY", 1)
    with gateway(registry, base, tmp_path, keys=False) as built:
        yield built


@pytest.fixture
def locked(registry: Registry, base: BaseModel, tmp_path: Path) -> Iterator[Gateway]:
    with gateway(registry, base, tmp_path, keys=True) as built:
        yield built


def proper(reply: Reply) -> bool:
    """An answer, or an error that a client can read."""
    if reply.status < 400 or b'"engines"' in reply.body:
        return True
    return reply.status != 500 and set(reply.json["error"]) == {"message", "type", "param", "code"}


slow = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@slow
@given(path=st.sampled_from(FORWARDED), sent=headers, body=bodies)
def test_any_body_and_any_headers(opened: Gateway, path: str, sent: list[tuple[bytes, bytes]], body: bytes) -> None:
    reply = opened.ask("POST", path, headers=sent, body=body)
    assert proper(reply)
    assert reply.status >= 400  # the engine is away


@slow
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "OPTIONS", "DELETE", "X"]),
    path=st.sampled_from(PATHS) | models.map(lambda model: f"/v1/models/{model}") | st.text().map("/".__add__),
    sent=headers,
)
def test_any_path(opened: Gateway, method: str, path: str, sent: list[tuple[bytes, bytes]]) -> None:
    assert method == "HEAD" or proper(opened.ask(method, path, headers=sent))


@slow
@given(sent=headers, body=bodies)
def test_no_key_by_chance(locked: Gateway, sent: list[tuple[bytes, bytes]], body: bytes) -> None:
    assert locked.ask("POST", "/v1/completions", headers=sent, body=body).status == 401


HARMFUL = [
    (b'{"model": "demo@live", "response_format": {"type": []}}', 503),
    (b'{"model": ' + b"[" * 100_000, 400),
    (b'{"model": "demo:1", "x": ' + b"[" * 900 + b"]" * 900 + b"}", 503),
    (b'{"model": "demo:1", "x": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001, 400),
    (b'{"model": "demo:1", "seed": ' + b"9" * 5000 + b"}", 400),
    (b'{"model": "demo:1", "seed": 1e999}', 503),
    (b'{"model": 5}', 400),
    (b'{"model": ["demo:1"]}', 400),
    (b'{"model": ""}', 400),
    (b'{"model": null}', 400),
    (b'{"model": "demo:1", "model": "nobody"}', 404),
    (b'["model"]', 400),
    (b"", 400),
    ('{"model": "demo:1"}'.encode("utf-16"), 503),
    (json.dumps({"model": "x" * 100_000}).encode(), 404),
    (json.dumps({"model": "demo:1\0"}).encode(), 404),
    (json.dumps({"model": "../demo:1"}).encode(), 404),
    (json.dumps({"model": "/etc/passwd"}).encode(), 404),
    (json.dumps({"model": "\ud800"}).encode(), 404),
]


def test_harmful_bodies(opened: Gateway) -> None:
    replies = [opened.ask("POST", "/v1/completions", body=body) for body, _ in HARMFUL]
    assert [reply.status for reply in replies] == [status for _, status in HARMFUL]
    assert max(len(reply.body) for reply in replies) < 2000


def test_a_body_that_is_too_large_is_not_read(opened: Gateway) -> None:
    for length in (str(MAX_BODY + 1), "9" * 15, "9" * 5000):
        reply = opened.ask("POST", "/v1/completions", headers=[(b"content-length", length.encode())])
        assert (reply.status, reply.read) == (413, 0)


def test_timeouts(opened: Gateway) -> None:
    def answered(sent: str) -> tuple[int, str | None]:
        headers = [(b"x-adaptory-timeout", sent.encode())]
        reply = opened.ask("POST", "/v1/completions", headers=headers, json_={"model": "demo:1"})
        return reply.status, reply.code

    cannot = ("0", "-1", "nan", "inf", "1e3", "3600.1", "9999", "", "1_0", "٣", "soon")
    assert [answered(sent) for sent in cannot] == [(400, "invalid_timeout")] * len(cannot)
    assert [answered(sent)[0] for sent in ("0.5", "3600", "1")] == [503] * 3


def test_names_that_do_not_exist_leave_nothing_behind(opened: Gateway) -> None:
    def size() -> dict[str, int]:
        catalogue = opened.replica.catalogue
        held: dict[str, Any] = vars(catalogue) | {"allowances": opened.access._quotas._allowances}
        return {name: len(value) for name, value in held.items() if isinstance(value, dict)}

    before = size()
    for number in range(100):
        assert opened.ask("POST", "/v1/completions", json_={"model": f"NO-{number}"}).status == 404
    assert size() == before
