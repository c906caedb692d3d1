"""Content on its way to and from the server: cut, gone on with, bounded, proved."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from safetensors.numpy import save_file

from registry.artifact import Artifact
from registry.base_model import BaseModel
from registry.canonical import digest_bytes
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import Conflict, Corrupted, InvalidAdapter, InvalidInput
from registry.remote.registry import RemoteRegistry
from registry.server.errors import TooLarge
from registry.server.upload_folder import KEPT_SECONDS, Content, UploadFolder
from registry.version import AdapterVersion
from tests.integration.registry.cutting import Cutting
from tests.unit.registry.conftest import MakeAdapter, weights_file
from tests.unit.registry.served import UPLOAD_LIMIT, Served


@pytest.fixture
def remote(open_server: Served, embedded: EmbeddedRegistry) -> Iterator[RemoteRegistry]:
    open_server.put(embedded)
    opened = RemoteRegistry(open_server.url)
    yield opened
    opened.close()


@pytest.fixture
def version(embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter) -> AdapterVersion:
    return embedded.versions.push(make_adapter(), "support", actor="ada", base=base).version


def artifact_of(version: AdapterVersion) -> Artifact:
    return Artifact(version_digest=version.digest, form="gguf", quant="q8_0", files=(), recipe={"tool": "1"})


def folder_with(tmp_path: Path, **files: bytes) -> Path:
    folder = tmp_path / "made"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def test_an_upload_that_is_cut_goes_on_where_it_ended(
    open_server: Served, remote: RemoteRegistry, version: AdapterVersion, tmp_path: Path
) -> None:
    content = os.urandom(8 << 20)
    proxy = Cutting(open_server.url, after=3 << 20, times=2, upwards=True)
    through = RemoteRegistry(proxy.url)
    told: list[int] = []
    kept = through.artifacts.add(artifact_of(version), folder_with(tmp_path, whole=content, empty=b""), told.append)
    assert proxy.upwards < 11 << 20  # what had come was not sent again
    assert sum(told) == len(content)
    assert kept == remote.artifacts.find(version.digest, "gguf", "q8_0")
    remote.artifacts.pull(kept, tmp_path / "out")
    assert (tmp_path / "out" / "whole").read_bytes() == content
    assert (tmp_path / "out" / "empty").read_bytes() == b""
    before = proxy.upwards
    through.artifacts.add(artifact_of(version), tmp_path / "made")
    assert proxy.upwards - before < 10_000  # nothing is sent that the registry keeps
    through.close()
    proxy.close()
    assert not [file for file in open_server.uploads.glob("*/*") if file.suffix != ".lock"]


def test_a_download_that_is_cut_goes_on_in_each_of_its_ranges(
    open_server: Served,
    remote: RemoteRegistry,
    version: AdapterVersion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("registry.remote.download.PART", 2 << 20)
    content = os.urandom((9 << 20) + 7)
    kept = remote.artifacts.add(artifact_of(version), folder_with(tmp_path, model=content))
    proxy = Cutting(open_server.url, after=1 << 20, times=6, upwards=False)
    through = RemoteRegistry(proxy.url)
    told: list[int] = []
    through.artifacts.pull(kept, tmp_path / "out", told.append)
    assert (tmp_path / "out" / "model").read_bytes() == content
    assert sum(told) == len(content)
    with pytest.raises(Conflict, match="exists already"):
        through.artifacts.pull(kept, tmp_path / "out")
    through.close()
    proxy.close()


def test_a_flipped_byte_is_found_and_a_missing_blob_said(
    embedded: EmbeddedRegistry, remote: RemoteRegistry, version: AdapterVersion, tmp_path: Path
) -> None:
    blob = embedded.blobs.path(max(version.manifest.files, key=lambda file: file.size).digest)  # type: ignore[attr-defined]
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.chmod(0o644)
    blob.write_bytes(content)
    with pytest.raises(Corrupted, match="is not its content"):
        remote.versions.pull(version, tmp_path / "out")
    blob.unlink()
    with pytest.raises(Corrupted, match="is missing from the registry"):
        remote.versions.pull(version, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_content_that_rotted_is_made_whole_by_pushing_it_again(
    embedded: EmbeddedRegistry, remote: RemoteRegistry, version: AdapterVersion, base: BaseModel,
    make_adapter: MakeAdapter, tmp_path: Path,
) -> None:  # fmt: skip
    blob = embedded.blobs.path(max(version.manifest.files, key=lambda file: file.size).digest)  # type: ignore[attr-defined]
    whole = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(Conflict, match="was changed on the registry's disk"):
        remote.versions.push(make_adapter(), "support", actor="ada", base=base)
    pushed = remote.versions.push(make_adapter(), "support", actor="ada", base=base)
    assert (pushed.version, pushed.created) == (version, False)
    assert blob.read_bytes() == whole
    remote.versions.pull(version, tmp_path / "out")
    assert remote.versions.push(make_adapter(), "other", actor="ada", base=base).created


def test_ranges(open_server: Served, remote: RemoteRegistry, version: AdapterVersion, tmp_path: Path) -> None:
    remote.versions.pull(version, tmp_path / "out")
    file = next(file for file in version.manifest.files if file.path == "adapter_config.json")
    whole = (tmp_path / "out" / file.path).read_bytes()
    with httpx.Client(base_url=open_server.url) as client:

        def get(**headers: str) -> httpx.Response:
            return client.get(f"/blobs/{file.digest}", params={"version": version.digest}, headers=headers)

        all_of_it = get()
        assert (all_of_it.status_code, all_of_it.content, all_of_it.headers["etag"]) == (200, whole, f'"{file.digest}"')
        part = get(range="bytes=3-9")
        assert (part.status_code, part.content) == (206, whole[3:10])
        assert part.headers["content-range"] == f"bytes 3-9/{len(whole)}"
        assert get(range="bytes=80-999999").content == whole[80:]
        assert get(range="bytes=-5").content == whole[-5:]
        assert get(range=f"bytes=-{len(whole) + 1}").content == whole
        assert get(range="bytes=-0").status_code == get(range=f"bytes={len(whole)}-").status_code == 416
        assert get(range="bytes=9-3").status_code == 416
        assert get(range="lines=1-2").status_code == get(range="bytes=-").status_code == 400
        assert get(**{"if-none-match": f'"{file.digest}"'}).status_code == 304
        other = client.get(f"/blobs/{file.digest}", params={"version": "sha256:" + "0" * 64})
        assert other.status_code == 404


def test_where_the_store_has_urls_content_comes_from_there(
    open_server: Served,
    embedded: EmbeddedRegistry,
    version: AdapterVersion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[bytes] = []
    elsewhere = RemoteRegistry(open_server.url, "ak-secret")
    store = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        for _ in version.manifest.files:
            client, _ = store.accept()
            seen.append(client.recv(1 << 16))
            digest = seen[-1].split()[1].decode().removeprefix("/")
            content = b"".join(embedded.blobs.read(digest))
            head = f"HTTP/1.1 206 -\r\ncontent-range: bytes 0-{len(content) - 1}/*\r\n"
            client.sendall(f"{head}content-length: {len(content)}\r\n\r\n".encode() + content)
            client.close()

    thread = threading.Thread(target=answer)
    thread.start()
    monkeypatch.setattr(
        embedded.blobs, "url", lambda digest, _seconds: f"http://localhost:{store.getsockname()[1]}/{digest}"
    )
    open_server.put(embedded)
    elsewhere.versions.pull(version, tmp_path / "out")
    thread.join()
    store.close()
    assert all(b"range: bytes=0-" in request.lower() for request in seen)
    assert not any(b"ak-secret" in request for request in seen)
    elsewhere.close()


def test_uploads_are_bounded_and_swept(open_server: Served, remote: RemoteRegistry, tmp_path: Path) -> None:
    folder = UploadFolder(tmp_path / "uploads", limit=1000)
    content = Content(digest_bytes(b"abc"), 3)
    with pytest.raises(InvalidInput, match="are the limit"), folder.writing("k", Content(content.digest, 1001), 0):
        pass
    with folder.writing("k", content, 0) as writer:
        writer.write(b"ab")
        with pytest.raises(Conflict, match="Another request"), folder.writing("k", content, 2):
            pass
    assert (folder.offset("k", content), folder.offset("other", content)) == (2, 0)
    with pytest.raises(Conflict, match="has 2 bytes, not 0"), folder.writing("k", content, 0):
        pass
    with pytest.raises(InvalidInput, match="More than the 3 bytes"), folder.writing("k", content, 2) as writer:
        writer.write(b"cd")
    with pytest.raises(InvalidInput, match="is not the content"), folder.writing("k", content, 2) as writer:
        writer.write(b"d")
    assert folder.offset("k", content) == 0
    with folder.writing("k", content, 0) as writer:
        writer.write(b"abc")
    assert folder.whole("k", content)
    folder.sweep()
    assert folder.whole("k", content)
    for file in (tmp_path / "uploads").glob("*/*"):
        os.utime(file, (0, file.stat().st_mtime - KEPT_SECONDS - 1))
    folder.sweep()
    assert not list((tmp_path / "uploads").glob("*/*"))
    large = {"upload-length": str(UPLOAD_LIMIT + 1), "upload-offset": "0"}
    refused = httpx.patch(f"{open_server.url}/uploads/{content.digest}", headers=large, content=b"x")
    assert (refused.status_code, refused.json()["title"]) == (413, "InvalidInput")
    with pytest.raises(InvalidInput, match="body is too large"):
        remote._connection.ask(None, "POST", "/bases", content=(b"x" * (1 << 20) for _ in range(40)))


def test_uploads_that_begin_at_once_do_not_share_the_room_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = UploadFolder(tmp_path / "uploads", limit=1000)
    proved, both = folder._prove_room, threading.Barrier(2)

    def prove_and_wait(place: Path, content: Content) -> None:
        proved(place, content)
        with suppress(threading.BrokenBarrierError):
            both.wait(0.5)  # for the other, who must not have proved the same room

    def upload(content: Content) -> bool:
        try:
            with folder.writing("k", content, 0):
                return True
        except TooLarge:
            return False

    monkeypatch.setattr(folder, "_prove_room", prove_and_wait)
    with ThreadPoolExecutor(2) as pool:
        begun = pool.map(upload, [Content(digest_bytes(name), 600) for name in (b"a", b"b")])
    assert sorted(begun) == [False, True]


def test_what_is_refused_leaves_nothing_and_its_weights_need_not_come_again(
    open_server: Served, embedded: EmbeddedRegistry, remote: RemoteRegistry, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    proxy = Cutting(open_server.url, after=0, times=0, upwards=True)
    through = RemoteRegistry(proxy.url)
    folder = make_adapter(config={"lora_alpha": 0})
    embedded.bases.add(base)
    record = {
        "base": {"name": base.name, "fingerprint": base.fingerprint},
        "recipe": {},
        "data": {},
        "metrics": {},
        "code": {},
    }
    (folder / "record.json").write_text(json.dumps(record))
    save_file({}, weights_file(folder), metadata={"padding": "x" * 300_000})
    with pytest.raises(InvalidAdapter):
        through.versions.push(folder, "support", actor="ada")
    assert embedded.versions.list() == []
    assert not list(embedded.blobs.digests())
    before = proxy.upwards
    with pytest.raises(InvalidAdapter):
        through.versions.push(folder, "support", actor="ada")
    assert proxy.upwards - before < 10_000
    before = proxy.upwards
    with pytest.raises(InvalidAdapter):
        remote.versions.push(folder, "support", actor="ada", base=base)  # refused here: not a byte is sent
    assert proxy.upwards == before
    through.close()
    proxy.close()
