"""Who may ask what: every route, every kind of key."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from registry import api_key
from registry.base_model import BaseModel
from registry.errors import InvalidInput
from registry.store import Registry
from serve.gateway.access import keys_required
from serve.gateway.keyring import Keyring
from serve.turns import asker
from tests.unit.serve.conftest import Push
from tests.unit.serve.gateway_parts import Gateway, gateway

CALLERS = ("none", "junk", "unknown", "wrong", "expired", "revoked", "push", "other", "infer", "read", "admin")
ASKING = (401, 401, 401, 401, 401, 401, 403, 404, 503, 403, 503)
READING = (401, 401, 401, 401, 401, 401, 403, 403, 403, 200, 200)
STATUS = {
    ("POST", "/v1/chat/completions"): ASKING,
    ("POST", "/v1/completions"): ASKING,
    ("POST", "/v1/responses"): ASKING,
    ("POST", "/v1/embeddings"): ASKING,
    ("GET", "/v1/models"): (401, 401, 401, 401, 401, 401, 403, 200, 200, 403, 200),
    ("GET", "/v1/models/demo:1"): (401, 401, 401, 401, 401, 401, 403, 404, 200, 403, 200),
    ("GET", "/v1/models/demo:2"): (401, 401, 401, 401, 401, 401, 403, 404, 404, 403, 404),
    ("GET", "/adaptory/profile"): (401, 401, 401, 401, 401, 401, 403, 200, 200, 403, 200),
    ("GET", "/metrics"): READING,
    ("GET", "/healthz"): (200,) * len(CALLERS),
    ("GET", "/readyz"): (503,) * len(CALLERS),
    ("GET", "/nothing"): (404,) * len(CALLERS),
}
CODES = {401: "invalid_api_key", 403: "missing_scope", 404: "model_not_found", 503: "engine_unavailable"}


@dataclass(frozen=True)
class House:
    """A gateway that needs keys, over the adapters demo and secret, and a key of each kind."""

    gateway: Gateway
    registry: Registry
    keys: dict[str, str]


@pytest.fixture
def house(registry: Registry, base: BaseModel, push: Push, tmp_path: Path) -> Iterator[House]:
    push("demo")
    push("secret")

    def make(name: str, *scopes: str, adapters: tuple[str, ...] = (), lifetime: timedelta | None = None) -> str:
        return registry.keys.create(name, actor="test", scopes=scopes, adapters=adapters, lifetime=lifetime).token

    keys = {
        "none": "",
        "junk": "none",
        "unknown": api_key.new_token()[1],
        "expired": make("expired", "infer", lifetime=timedelta(microseconds=1)),
        "revoked": make("revoked", "infer"),
        "push": make("push", "push", "promote"),
        "other": make("other", "infer", adapters=("other", "team/*")),
        "infer": make("infer", "infer", adapters=("demo",)),
        "read": make("read", "read"),
        "admin": make("admin", "admin"),
    }
    keys["wrong"] = keys["infer"][:16] + "A" * 43
    registry.keys.revoke("revoked")
    with gateway(registry, base, tmp_path, keys=True) as opened:
        yield House(opened, registry, keys)


@pytest.mark.parametrize("route", STATUS, ids=" ".join)
def test_every_route_and_every_kind_of_key(house: House, route: tuple[str, str]) -> None:
    method, path = route
    question = {"model": "demo:1"} if method == "POST" else None
    replies = {name: house.gateway.ask(method, path, key=house.keys[name], json_=question) for name in CALLERS}
    assert {name: reply.status for name, reply in replies.items()} == dict(zip(CALLERS, STATUS[route], strict=True))
    for reply in replies.values():
        if reply.status in {401, 403}:
            assert reply.code == CODES[reply.status]
            assert ("www-authenticate" in reply.headers) == (reply.status == 401)
            assert reply.read == 0  # before the body


def test_a_key_sees_no_other_adapter(house: House, base: BaseModel) -> None:
    def listed(name: str) -> set[str]:
        return {entry["id"] for entry in house.gateway.ask("GET", "/v1/models", key=house.keys[name]).json["data"]}

    assert listed("infer") == {"demo:1"}
    assert listed("other") == set()
    assert listed("admin") == {base.name, "demo:1", "secret:1"}
    there, nowhere, unlisted = (
        house.gateway.ask("POST", "/v1/completions", key=house.keys["infer"], json_={"model": model})
        for model in ("secret:1", "nobody:1", "demo:9")
    )
    assert there.body.replace(b"secret", b"nobody") == nowhere.body
    assert there.code == nowhere.code == unlisted.code == "model_not_found"
    assert b"secret" not in unlisted.body
    assert (
        house.gateway.ask("POST", "/v1/completions", key=house.keys["infer"], json_={"model": base.name}).status == 404
    )
    assert b"secret" in house.gateway.ask("GET", "/v1/models/nobody", key=house.keys["admin"]).body


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("authorization", "bearer {}")], 200),
        ([("authorization", "Bearer   {} ")], 200),
        ([("x-api-key", "{}")], 200),
        ([("authorization", "Basic abc"), ("x-api-key", "{}")], 200),
        ([("authorization", "Bearer none"), ("x-api-key", "{}")], 401),
        ([("authorization", "{}")], 401),
        ([("authorization", "Bearer {}x")], 401),
        ([("authorization", "Bearer")], 401),
        ([("x-api-key", "")], 401),
        ([("cookie", "{}")], 401),
    ],
)
def test_where_a_key_is_looked_for(house: House, headers: list[tuple[str, str]], status: int) -> None:
    sent = [(name.encode(), value.format(house.keys["admin"]).encode()) for name, value in headers]
    assert house.gateway.ask("GET", "/v1/models", headers=sent).status == status


def test_no_secret_is_told_or_written(house: House, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    replies = [
        house.gateway.ask(method, path, key=key, json_={"model": "secret:1"})
        for method, path in STATUS
        for key in house.keys.values()
    ]
    told = b"".join(reply.body + repr(reply.headers).encode() for reply in replies) + caplog.text.encode()
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for key in house.keys.values():
        assert not key or key == "none" or key[16:].encode() not in told + written
    ids = {entry["key"] for entry in house.gateway.log()}
    assert ids == {"", *(house.keys[name][3:15] for name in ("infer", "other", "admin"))}


def test_new_and_revoked_keys_are_heard_of(registry: Registry) -> None:
    old = registry.keys.create("old", actor="test").token.encode()
    keyring = Keyring(registry)
    new = registry.keys.create("new", actor="test").token.encode()
    registry.keys.revoke("old")

    async def story() -> None:
        following = asyncio.create_task(keyring.follow())
        while not keyring.find(new):
            await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    asyncio.run(story())
    known = keyring.find(old)
    assert known
    assert known.revoked


def test_known_keys_work_while_the_registry_is_away(house: House, tmp_path: Path) -> None:
    house.registry.close()
    (tmp_path / "registry" / "registry.db").rename(tmp_path / "away")
    for file in (tmp_path / "registry").glob("registry.db*"):
        file.unlink()
    house.gateway.run(asyncio.sleep(1.0))
    assert house.gateway.ask("GET", "/v1/models", key=house.keys["admin"]).status == 200
    assert house.gateway.ask("GET", "/v1/models", key=house.keys["unknown"]).status == 401


def test_without_keys_everybody_may_ask(registry: Registry, base: BaseModel, push: Push, tmp_path: Path) -> None:
    push("demo")
    token = registry.keys.create("other", actor="test", adapters=("other",)).token
    with gateway(registry, base, tmp_path, keys=False) as opened:
        for key in (None, "none", token):
            for (method, path), status in STATUS.items():
                question = {"model": "demo:1"} if method == "POST" else None
                assert opened.ask(method, path, key=key, json_=question).status == status[CALLERS.index("admin")]
        assert {entry["key"] for entry in opened.log()} == {asker.ANONYMOUS} == {api_key.ANONYMOUS}


def test_when_keys_are_required(registry: Registry) -> None:
    def required(address: str, asked: str | None = None) -> bool:
        return keys_required(asked, address, registry)

    assert not required("127.0.0.1")
    assert required("::1", "required")
    for open_ in ("0.0.0.0", "::", "192.168.1.2"):  # noqa: S104 - nothing listens
        with pytest.raises(InvalidInput):
            required(open_)
        assert required(open_, "required")
        assert not required(open_, "off")
    registry.keys.create("push", actor="test", scopes=("push",))
    assert not required("127.0.0.1")
    registry.keys.create("ci", actor="test")
    assert required("127.0.0.1")
    assert required("192.168.1.2")
    registry.keys.revoke("ci")
    assert required("127.0.0.1")  # taking the last key away does not open the door
    with pytest.raises(InvalidInput):
        required("192.168.1.2")
    assert not required("127.0.0.1", "off")
