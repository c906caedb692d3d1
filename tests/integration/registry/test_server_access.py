"""Every route of the server × every scope × every kind of key."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from registry.api_key import SCOPES
from registry.base_model import BaseModel
from registry.canonical import digest_bytes
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import Conflict, NotFound, Refused
from registry.event import Event
from registry.remote.registry import RemoteRegistry
from registry.server.callers import OPEN
from tests.integration.store_servers import wait_for
from tests.unit.registry.conftest import MakeAdapter
from tests.unit.registry.served import Served, served

NOBODY = "sha256:" + "0" * 64
PROFILE = {
    "base_name": "b", "base_fingerprint": NOBODY, "quantization": "q", "engine": "e", "engine_version": "1",
    "device": "cpu", "dtype": "d", "kv_cache_dtype": "k", "context_length": 1, "chat_template_digest": "",
}  # fmt: skip
REPLICA = {
    "id": "r", "host": "h", "pid": 1, "url": "u", "base_name": "b", "base_fingerprint": NOBODY, "profile": "p",
    "started": "2030-01-01T00:00:00Z", "heartbeat": "2030-01-01T00:00:00Z",
}  # fmt: skip
REPORT = {
    "version_digest": NOBODY, "profile_fingerprint": NOBODY, "suite_name": "s", "suite_digest": NOBODY, "items": 0,
    "adapter": {}, "base": {}, "gain": {}, "failures": [], "results": [],
}  # fmt: skip
BASE = {
    "name": "b", "source": "s", "revision": "1", "quantization": "q", "architecture": "a", "parameters": 1,
    "context_length": 1, "chat_template_digest": "", "modules": {}, "bf16": [], "nf4": [],
}  # fmt: skip
SIGNATURE = {"version_digest": NOBODY, "public_key": "none", "bundle": "{}"}
RELEASE = {"name": "nobody", "alias": "prod"}
ARTIFACT = {"version_digest": NOBODY, "form": "gguf", "quant": "q8_0", "recipe": {}, "files": []}

# route -> (scope, how it is called)
TABLE: dict[tuple[str, str], tuple[str, str, dict[str, Any]]] = {
    ("GET", "/versions"): ("read", "/versions", {}),
    ("GET", "/versions/{ref}"): ("read", "/versions/nobody:1", {}),
    ("POST", "/versions"): ("push", "/versions", {"json": {"name": "x", "files": []}}),
    ("POST", "/uploads"): ("push", "/uploads", {"json": {"name": "x", "contents": []}}),
    ("PATCH", "/uploads/{digest}"): (
        "push", f"/uploads/{digest_bytes(b'')}", {"headers": {"upload-length": "0", "upload-offset": "0"}},
    ),
    ("GET", "/blobs/{digest}"): ("read", f"/blobs/{NOBODY}?version={NOBODY}", {}),
    ("GET", "/aliases"): ("read", "/aliases", {}),
    ("GET", "/aliases/{target}"): ("read", "/aliases/nobody@prod", {}),
    ("PUT", "/aliases/{target}"): ("promote", "/aliases/nobody@prod", {"json": {"ref": "nobody:1"}}),
    ("POST", "/aliases/{target}/rollback"): ("promote", "/aliases/nobody@prod/rollback", {"json": {}}),
    ("GET", "/history"): ("read", "/history?name=nobody", {}),
    ("POST", "/bases"): ("push", "/bases", {"json": BASE}),
    ("GET", "/bases"): ("read", "/bases", {}),
    ("GET", "/bases/{fingerprint}"): ("read", f"/bases/{NOBODY}", {}),
    ("POST", "/profiles"): ("admin", "/profiles", {"json": PROFILE}),
    ("GET", "/profiles/{base_fingerprint}"): ("read", f"/profiles/{NOBODY}", {}),
    ("PUT", "/replicas/{id}"): ("admin", "/replicas/r", {"json": REPLICA}),
    ("POST", "/replicas/{id}/beat"): ("admin", "/replicas/r/beat", {}),
    ("DELETE", "/replicas/{id}"): ("admin", "/replicas/r", {}),
    ("GET", "/replicas"): ("read", "/replicas", {}),
    ("POST", "/reports"): ("push", "/reports", {"json": REPORT}),
    ("GET", "/reports"): ("read", f"/reports?version={NOBODY}", {}),
    ("GET", "/reports/on"): ("read", f"/reports/on?suite={NOBODY}&profile={NOBODY}", {}),
    ("POST", "/artifacts"): ("push", "/artifacts", {"json": ARTIFACT}),
    ("GET", "/artifacts"): ("read", f"/artifacts?version={NOBODY}", {}),
    ("POST", "/keys"): ("admin", "/keys", {"json": {"name": "ci", "scopes": ["nothing"]}}),
    ("GET", "/keys"): ("admin", "/keys", {}),
    ("POST", "/keys/revoke"): ("admin", "/keys/revoke", {"json": {"key": "nobody"}}),
    ("POST", "/usage"): ("admin", "/usage", {"json": {"amounts": [], "last_used": {}}}),
    ("POST", "/usage/query"): ("admin", "/usage/query", {"json": {}}),
    ("GET", "/events"): ("read", "/events", {}),
    ("GET", "/events/after"): ("read", "/events/after", {}),
    ("GET", "/webhooks"): ("admin", "/webhooks", {}),
    ("POST", "/webhooks"): ("admin", "/webhooks", {"json": {"url": "none"}}),
    ("GET", "/webhooks/dead"): ("admin", "/webhooks/dead", {}),
    ("POST", "/webhooks/dead"): ("admin", "/webhooks/dead", {"json": {}}),
    ("DELETE", "/webhooks/{id}"): ("admin", "/webhooks/nobody", {}),
    ("GET", "/audit"): ("admin", "/audit", {}),
    ("POST", "/signatures"): ("push", "/signatures", {"json": SIGNATURE}),
    ("GET", "/signatures"): ("read", f"/signatures?version={NOBODY}", {}),
    ("GET", "/signing-policies"): ("read", "/signing-policies", {}),
    ("POST", "/signing-policies"): ("admin", "/signing-policies", {"json": {"pattern": "x", "public_key": "none"}}),
    ("POST", "/signing-policies/remove"): ("admin", "/signing-policies/remove", {"json": {"pattern": "x"}}),
    ("GET", "/deprecations"): ("read", "/deprecations", {}),
    ("PUT", "/deprecations/{ref}"): ("push", "/deprecations/nobody:1", {"json": {"reason": "old"}}),
    ("DELETE", "/deprecations/{ref}"): ("push", "/deprecations/nobody:1", {}),
    ("GET", "/tags"): ("read", "/tags", {}),
    ("PATCH", "/tags/{ref}"): ("push", "/tags/nobody:1", {"json": {}}),
    ("GET", "/deletions"): ("read", "/deletions", {}),
    ("PUT", "/deletions/{ref}"): ("admin", "/deletions/nobody:1", {"json": {}}),
    ("DELETE", "/deletions/{ref}"): ("admin", "/deletions/nobody:1", {}),
    ("GET", "/retention"): ("admin", "/retention", {}),
    ("PUT", "/retention"): ("admin", "/retention", {"json": {"pattern": "x", "keep_last": 1, "keep_aliased": True}}),
    ("POST", "/retention/remove"): ("admin", "/retention/remove", {"json": {"pattern": "x"}}),
    ("POST", "/collection"): ("admin", "/collection", {"json": {"dry_run": True}}),
    ("GET", "/releases"): ("read", "/releases", {}),
    ("POST", "/releases"): ("promote", "/releases", {"json": RELEASE | {"ref": "nobody:1", "plan": {}}}),
    ("POST", "/releases/weight"): ("promote", "/releases/weight", {"json": RELEASE | {"weight": 0.5}}),
    ("POST", "/releases/stop"): ("promote", "/releases/stop", {"json": RELEASE}),
    ("POST", "/releases/promote"): ("promote", "/releases/promote", {"json": RELEASE}),
    ("GET", "/releases/{id}/counts"): ("read", "/releases/nobody/counts", {}),
    ("GET", "/releases/{id}/texts"): ("read", "/releases/nobody/texts", {}),
    ("POST", "/releases/{id}/report"): ("admin", "/releases/nobody/report", {"json": {"counted": {}}}),
}  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("guarded"), keys_required=True) as running:
        yield running


@pytest.fixture
def server(guarded: Served, embedded: EmbeddedRegistry) -> Served:
    guarded.put(embedded)
    return guarded


def test_every_route_has_a_row(server: Served) -> None:
    routes = {
        (method, route.path_format)
        for route in server.app.routes
        if isinstance(route, APIRoute) and route.path not in OPEN
        for method in route.methods
    }
    assert routes == set(TABLE)


def test_every_route_takes_the_scope_that_it_needs_and_no_other(server: Served, embedded: EmbeddedRegistry) -> None:
    keys = {scope: embedded.keys.create(scope, actor="ada", scopes=(scope,)).token for scope in SCOPES}
    wrong = []
    with httpx.Client(base_url=server.url) as client:
        for (method, _), (needed, path, how) in TABLE.items():
            for scope, token in keys.items():
                status, said = ask(client, method, path, how, token)
                lacking = status == 403 and "lacks the scope" in said
                if status >= 500 or status == 401 or lacking != (scope not in {needed, "admin"}):
                    wrong.append((method, path, scope, status, said))
    assert wrong == []


def test_no_route_takes_a_key_that_does_not_work(server: Served, embedded: EmbeddedRegistry) -> None:
    good = embedded.keys.create("good", actor="ada", scopes=("admin",)).token
    expired = embedded.keys.create("expired", actor="ada", scopes=("admin",), lifetime=timedelta(microseconds=1)).token
    revoked = embedded.keys.create("revoked", actor="ada", scopes=("admin",)).token
    embedded.keys.revoke("revoked")
    tokens = [None, "junk", f"{good[:-1]}{'A' if good[-1] != 'A' else 'B'}", f"ak-000000000000-{good[16:]}"]
    wrong = []
    with httpx.Client(base_url=server.url) as client:
        assert client.get("/healthz").json() == {"ok": True}
        assert "paths" in client.get("/openapi.json").json()
        for (method, _), (_, path, how) in TABLE.items():
            for token in (*tokens, expired, revoked):
                status, said = ask(client, method, path, how, token)
                if status != 401:
                    wrong.append((method, path, token, status, said))
    assert wrong == []


def test_a_key_is_refused_from_the_moment_that_it_is_revoked(server: Served, embedded: EmbeddedRegistry) -> None:
    key = embedded.keys.create("ci", actor="ada", scopes=("read",))
    remote = RemoteRegistry(server.url, key.token)
    assert remote.versions.list() == []

    def used() -> None:
        assert embedded.keys.list()[0].last_used

    wait_for(used, AssertionError)  # it is noted beside the request
    embedded.keys.revoke("ci")
    with pytest.raises(Refused, match=f"{key.key.id} was revoked"):
        remote.versions.list()
    remote.close()


def test_to_a_key_for_some_names_others_do_not_exist(
    server: Served, embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    secret = embedded.versions.push(make_adapter(1), "secret", actor="ada", base=base).version
    embedded.versions.push(make_adapter(2), "team/open", actor="ada", base=base)
    embedded.aliases.promote("secret:1", "canary", actor="ada")
    token = embedded.keys.create("ci", actor="ada", scopes=("read", "push", "promote"), adapters=("team/*",)).token
    remote = RemoteRegistry(server.url, token)
    assert [str(version) for version in remote.versions.list()] == ["team/open:1"]
    assert remote.aliases.list() == []
    assert remote.aliases.history("secret") == []
    assert remote.artifacts.list(secret.digest) == []
    assert all(event.subject != "secret" for event in remote.events.after(0))
    for name in ("secret", "nobody"):
        with pytest.raises(NotFound, match=f"^No adapter is called {name}\\.$"):
            remote.versions.get(f"{name}:1")
        with pytest.raises(NotFound, match=f"^No adapter is called {name}\\.$"):
            remote.versions.list(name)
        with pytest.raises(NotFound, match=f"^No adapter is called {name}\\.$"):
            remote.aliases.promote(f"{name}:1", "canary", actor="eve")
    with pytest.raises(NotFound):
        remote.versions.pull(secret, tmp_path / "out")
    with pytest.raises(Refused, match=r"is for team/\* only, not for secret"):
        remote.versions.push(make_adapter(3), "secret", actor="eve", base=base)
    weights = max(secret.manifest.files, key=lambda file: file.size)
    asked = {"name": "team/open", "contents": [{"digest": weights.digest, "size": weights.size}]}
    answer = httpx.post(f"{server.url}/uploads", json=asked, headers={"authorization": f"Bearer {token}"})
    assert answer.json() == [{"offset": 0, "whole": False}]  # that it is here already is not theirs to know
    pushed = remote.versions.push(make_adapter(1), "team/mine", actor="eve", base=base)
    assert (pushed.version.digest, pushed.version.actor) == (secret.digest, "ci")
    with httpx.Client(base_url=server.url) as client:  # what is added would show under secret too
        for path, document in (
            ("/artifacts", ARTIFACT),
            ("/reports", REPORT),
            ("/signatures", SIGNATURE),
            ("/uploads", {"version": NOBODY, "contents": []}),
        ):
            changed = {key: secret.digest if key.startswith("version") else value for key, value in document.items()}
            status, said = ask(client, "POST", path, {"json": changed}, token)
            assert (status, "has a name too" in said) == (403, True), said
    remote.close()


def test_a_poll_reads_nothing_that_its_key_may_not_hear_of(
    server: Served, embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in ("secret", "team/open", "other"):
        embedded.versions.push(make_adapter(), name, actor="ada", base=base)
    token = embedded.keys.create("ci", actor="ada", scopes=("read",), adapters=("team/*",)).token
    remote, after = RemoteRegistry(server.url, token), embedded.events.after
    read: set[str] = set()

    def watched(*args: Any, **options: Any) -> Sequence[Event]:
        page = after(*args, **options)
        read.update(event.subject for event in page)
        return page

    monkeypatch.setattr(embedded.events, "after", watched)
    for names in ((), ("*",), ("secret", "*n")):
        assert [event.subject for event in remote.events.after(0, names=names)] == ["team/open"]
    assert remote.events.after(0, names=("secret",)) == []
    assert read == {"team/open"}
    remote.close()


def test_a_body_is_as_large_as_its_caller_and_its_path_need(server: Served, embedded: EmbeddedRegistry) -> None:
    tokens = {scope: embedded.keys.create(scope, actor="ada", scopes=(scope,)).token for scope in SCOPES}
    cases = (
        [(scope, "/reports", 64 << 10) for scope in ("read", "infer")]
        + [(scope, "/bases", 1 << 20) for scope in ("push", "promote", "admin")]
        + [("push", "/reports", 32 << 20), ("admin", "/usage", 32 << 20), ("admin", "/releases/r/report", 32 << 20)]
    )
    with httpx.Client(base_url=server.url) as client:
        for scope, path, limit in cases:
            for more in (0, 1):
                how = {"content": b" " * (limit + more), "headers": {"content-type": "application/json"}}
                status, said = ask(client, "POST", path, how, tokens[scope])
                assert (status == 413, f"{limit} bytes are the limit" in said) == (more > 0, more > 0), (scope, path)


def test_a_base_is_what_its_first_push_said_and_a_new_one_takes_a_key_for_all_names(
    server: Served, embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    limited, full = (
        RemoteRegistry(server.url, embedded.keys.create(name, actor="ada", scopes=("push",), adapters=names).token)
        for name, names in (("limited", ("team/*",)), ("full", ()))
    )
    for add in (
        lambda: limited.versions.push(make_adapter(), "team/a", actor="eve", base=base),
        lambda: limited.bases.add(base),
    ):
        with pytest.raises(Refused, match="the registry does not know the base tiny"):
            add()
    assert embedded.bases.list() == []
    full.versions.push(make_adapter(), "support", actor="ada", base=base)
    assert limited.versions.push(make_adapter(), "team/a", actor="ada", base=base).created
    for changed in (
        replace(base, modules={**base.modules, "model.layers.9.other": (8, 4)}),
        replace(base, architecture="Other"),
        replace(base, name="other", architecture="Other"),
    ):
        with pytest.raises(Conflict, match="with other layers"):
            full.bases.add(changed)
        with pytest.raises(Conflict, match="with other layers"):
            full.versions.push(make_adapter(1), "support", actor="eve", base=changed)
    assert embedded.bases.list() == [base]
    assert len(embedded.versions.list("support")) == 1
    limited.close()
    full.close()


def ask(client: httpx.Client, method: str, path: str, how: dict[str, Any], token: str | None) -> tuple[int, str]:
    headers = how.get("headers", {}) | ({} if token is None else {"authorization": f"Bearer {token}"})
    with client.stream(method, path, **how | {"headers": headers}) as response:
        if response.status_code == 200 and path == "/events":
            return 200, ""
        return response.status_code, response.read().decode()
