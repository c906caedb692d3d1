"""Errors on their way from the server, and a server that is away."""

import socket

import httpx
import pytest

from registry import errors
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import AdaptoryError, InvalidInput, Refused, Unavailable
from registry.files import FileEntry
from registry.remote.connection import Connection
from registry.remote.registry import RemoteRegistry
from registry.server.problems import problem
from tests.unit.registry.served import Served

NOBODY = "sha256:" + "0" * 64


@pytest.mark.parametrize("kind", [kind for kind in vars(errors).values() if isinstance(kind, type)])
def test_every_error_arrives_as_what_it_was(kind: type[AdaptoryError], monkeypatch: pytest.MonkeyPatch) -> None:
    error = kind("package", "extra") if kind is errors.MissingPackage else kind("what happened", "what to type")
    sent = problem(error)
    answer = httpx.Response(sent.status_code, content=bytes(sent.body), request=httpx.Request("GET", "http://there"))
    connection = Connection("http://there")
    monkeypatch.setattr(httpx.Client, "request", lambda *_args, **_options: answer)
    with pytest.raises(AdaptoryError) as caught:
        connection.ask(None, "GET", "/versions")
    assert type(caught.value) is kind
    assert (caught.value.message, caught.value.hint) == (error.message, error.hint)
    connection.close()


def test_a_registry_that_is_away_is_said_in_one_line(open_server: Served) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    away = RemoteRegistry(f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable, match=rf"^The registry at http://127.0.0.1:{port} does not answer \(.*\)\.$"):
        away.versions.list()
    away.close()
    for url in ("http://:80", "http://ada:secret@localhost"):
        with pytest.raises(InvalidInput, match="is no URL of a server") as caught:
            RemoteRegistry(url)
        assert "secret" not in str(caught.value)
    with pytest.raises(InvalidInput, match="is no API key") as caught:
        RemoteRegistry(open_server.url, "ak-secret\n")
    assert "secret" not in str(caught.value)
    other = RemoteRegistry(f"{open_server.url}/elsewhere")
    with pytest.raises(AdaptoryError, match="Not Found"):
        other.versions.list()
    with pytest.raises(Refused, match="cannot be reached through a server"):
        _ = other.verification
    other.close()


@pytest.mark.parametrize(("path", "digest"), [("../../x", NOBODY), ("/x", NOBODY), ("x", "sha256:../../x")])
def test_what_a_hostile_registry_sends_names_nothing_on_our_disk(
    path: str, digest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match=r"is no digest|is not a file name inside a folder"):
        FileEntry(path, 1, digest)
    artifact = {"version_digest": NOBODY, "form": "gguf", "quant": "q8_0", "recipe": {}}
    document = [artifact | {"files": [{"path": path, "size": 1, "digest": digest}]}]
    answer = httpx.Response(200, json=document, request=httpx.Request("GET", "http://there"))
    monkeypatch.setattr(httpx.Client, "request", lambda *_args, **_options: answer)
    hostile = RemoteRegistry("http://there")
    with pytest.raises(Unavailable, match="no registry that this version understands"):
        hostile.artifacts.list(NOBODY)
    hostile.close()


BASE = (
    '{"name": "%s", "source": "s", "revision": "%s", "quantization": "q", "architecture": "a", "parameters": 1, '
    '"context_length": 1, "chat_template_digest": "", "modules": {}, '
    '"bf16": [{"path": "%s", "size": 1, "digest": "sha256:00"}], "nf4": []}'
)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/bases", BASE % ("../../x", "1", "a")),
        ("/bases", BASE % ("x", "1", "../a")),
        ("/bases", BASE % ("x", r"\u0000", "a")),
        ("/bases", BASE % ("x", r"\ud800", "a")),
        ("/bases", "[" * 100_000),
        ("/bases", '{"name": NaN}'),
        ("/bases", "\xff"),
        ("/artifacts", '{"version_digest": "sha256:%s", "form": "g", "quant": "q", "recipe": {"x": 1e999}, "files": []}'
         % ("0" * 64)),
        ("/versions", '{"name": "x", "note": "\\u001b[31m", "files": []}'),
        ("/versions", '{"name": "x", "files": [{"path": "run.py", "size": 1, "digest": "sha256:%s"}]}' % ("0" * 64)),
        ("/versions", '{"name": "x", "files": []}'),
        ("/versions", '{"name": "X", "files": []}'),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_refused(open_server: Served, embedded: EmbeddedRegistry, path: str, body: str) -> None:
    open_server.put(embedded)
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{open_server.url}{path}", content=body.encode("latin-1"), headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json()["title"] in {"InvalidInput", "InvalidReference", "InvalidAdapter"}
    assert embedded.bases.list() == []


def test_what_is_not_there_is_said(open_server: Served, embedded: EmbeddedRegistry) -> None:
    open_server.put(embedded)
    for method, path, status in (
        ("GET", "/no/such/thing", 404),
        ("GET", "/versions/a/b/c:1", 400),
        ("DELETE", "/versions", 405),
    ):
        answer = httpx.request(method, f"{open_server.url}{path}")
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
