"""What a registry's server and its clients do where a client, a proxy or a disk misbehaves."""

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

import registry.embedded.releases
import registry.remote.upload
from registry.artifact import Artifact
from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import Corrupted, InvalidInput, Unavailable
from registry.release import LONGEST_SECONDS, Plan, ReleaseLimits
from registry.remote.registry import RemoteRegistry
from registry.report import Score
from registry.server.bodies import MAX_PARTS, _read
from registry.server.errors import TooLarge
from registry.server.upload_folder import Content, UploadFolder
from tests.unit.registry.conftest import MakeAdapter
from tests.unit.registry.served import UPLOAD_LIMIT, Served, served


@pytest.fixture
def server(open_server: Served, embedded: EmbeddedRegistry) -> Served:
    open_server.put(embedded)
    return open_server


@contextmanager
def redirecting(url: str) -> Iterator[str]:
    """A server that sends everybody elsewhere, as a proxy does that wants https."""

    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(302)
            self.send_header("location", url + self.path)
            self.send_header("content-length", "0")
            self.end_headers()

        do_PUT = do_POST = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """It says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Redirect) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{proxy.server_port}"
        proxy.shutdown()
        thread.join()


def test_a_write_that_is_redirected_is_not_taken_for_done(
    server: Served, embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    embedded.versions.push(make_adapter(1), "support", actor="ada", base=base)
    with redirecting(server.url) as url:
        remote = RemoteRegistry(url)
        assert remote.versions.get("support:1").number == 1
        for write in (
            lambda: remote.aliases.promote("support:1", "canary", actor="ada"),
            lambda: remote.bases.add(base),
        ):
            with pytest.raises(Unavailable, match=f"redirects to {server.url}"):
                write()
        remote.close()
    assert embedded.aliases.list("support") == []


def test_numbers_that_json_cannot_hold_are_refused(server: Served) -> None:
    for number in (math.inf, -math.inf, math.nan):
        with pytest.raises(InvalidInput, match="finite"):
            ReleaseLimits(error_rate=number)
        with pytest.raises(InvalidInput, match="finite"):
            Score(mean=0.5, low=number, high=1.0)
        with pytest.raises(InvalidInput, match="finite"):
            Artifact(version_digest="", form="gguf", quant="q8_0", files=(), recipe={}, drift={"x": number})
    with pytest.raises(InvalidInput, match="a year"):
        Plan(seconds=2 * LONGEST_SECONDS)
    plan = {"kind": "canary", "limits": {"error_rate": "Infinity"}}
    answer = httpx.post(f"{server.url}/releases", json={"ref": "a:1", "alias": "prod", "plan": plan})
    assert 400 <= answer.status_code < 500
    assert httpx.get(f"{server.url}/releases").json() == []


def test_a_disk_that_refuses_to_note_a_keys_use_refuses_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(tmp_path, keys_required=True) as guarded:
        kept: EmbeddedRegistry = guarded.app.state.registry
        token = kept.keys.create("ada", actor="ada", scopes=["read"]).token

        def full(*_: object) -> None:
            raise Unavailable("the disk is full")

        monkeypatch.setattr(kept.usage, "add", full)
        assert httpx.get(f"{guarded.url}/versions", headers={"authorization": f"Bearer {token}"}).status_code == 200


def test_the_rest_of_a_body_that_is_refused_is_not_waited_for(server: Served) -> None:
    too_large = {"upload-length": str(2 * UPLOAD_LIMIT), "upload-offset": "0"}
    digest = "sha256:" + "0" * 64
    answer = httpx.patch(f"{server.url}/uploads/{digest}", headers=too_large, content=b"x")
    assert (answer.status_code, answer.headers["connection"]) == (413, "close")


def test_an_upload_waits_for_the_server_to_notice_that_the_last_one_was_cut(
    server: Served, base: BaseModel, make_adapter: MakeAdapter,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(registry.remote.upload, "ATTEMPTS", 1)
    monkeypatch.setattr(registry.remote.upload, "HELD_PAUSE", 0.1)
    folder, remote = make_adapter(1), RemoteRegistry(server.url)
    refused = threading.Event()
    uploads: UploadFolder = server.app.state.uploads
    writing = uploads.writing

    @contextmanager
    def held_at_first(owner: str, content: Content, offset: int) -> Iterator[object]:
        if not refused.is_set():
            with writing(owner, content, offset):
                refused.set()
                with writing(owner, content, offset):
                    raise AssertionError("the lock is the first one's")
        with writing(owner, content, offset) as writer:
            yield writer

    monkeypatch.setattr(uploads, "writing", held_at_first)
    assert remote.versions.push(folder, "support", actor="ada", base=base).version.number == 1
    assert refused.is_set()
    remote.close()


def test_a_body_of_too_many_parts_is_not_read() -> None:
    with pytest.raises(TooLarge, match="commas"):
        _read(b"[" + b"{}," * MAX_PARTS + b"{}]")


def test_an_admin_is_not_limited_to_adapters(embedded: EmbeddedRegistry) -> None:
    with pytest.raises(InvalidInput, match="can make others"):
        embedded.keys.create("boss", actor="ada", scopes=["admin"], adapters=["team/*"])


def test_the_sweeper_survives_what_it_cannot_remove(tmp_path: Path) -> None:
    uploads = UploadFolder(tmp_path / "uploads", UPLOAD_LIMIT)
    stuck, old = tmp_path / "uploads" / "key" / "a-1", tmp_path / "uploads" / "key" / "b-1"
    stuck.mkdir(parents=True)
    old.touch()
    for place in (stuck, old):
        os.utime(place, (0, 0))
    uploads.sweep()
    assert (stuck.exists(), old.exists()) == (True, False)


def test_releases_of_others_do_not_hide_ones_own(
    embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.embedded.releases, "SHOWN", 1)
    for name in ("mine", "other"):
        for seed in (1, 2):
            embedded.versions.push(make_adapter(seed), name, actor="ada", base=base)
        embedded.aliases.promote(f"{name}:1", "canary", actor="ada")
        embedded.releases.start(f"{name}:2", "canary", Plan(), actor="ada")
    assert [one.name for one in embedded.releases.list()] == ["other"]
    assert [one.name for one in embedded.releases.list(may_see=lambda name: name == "mine")] == ["mine"]
    assert [one.name for one in embedded.releases.list(running=True)] == ["mine", "other"]


def test_content_that_is_shorter_than_it_was_is_corrupted_and_not_away(
    server: Served, embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    embedded.versions.push(make_adapter(1), "support", actor="ada", base=base)
    for blob in (tmp_path / "registry" / "blobs" / "sha256").glob("*/*"):
        blob.chmod(0o644)
        blob.write_bytes(blob.read_bytes()[:-1])
    remote = RemoteRegistry(server.url)
    with pytest.raises(Corrupted, match="not whole"):
        remote.versions.pull(remote.versions.get("support:1"), tmp_path / "out")
    remote.close()
