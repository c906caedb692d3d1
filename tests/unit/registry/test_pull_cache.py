"""What was pulled once is linked the next time, and proved again when anybody touched it."""

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner

from registry.cli import registry as command
from registry.errors import Conflict, Corrupted
from registry.files import FileEntry
from registry.known_refs import KnownRefs
from registry.manifest import LoraConfig, Manifest
from registry.pull_cache import LINKED, PullCache
from registry.refs import AdapterRef
from registry.version import AdapterVersion

FILES = {"adapter_config.json": b"{}", "adapter_model.safetensors": bytes(range(256)) * (LINKED // 256)}
Fetch = Callable[[Path], None]


@pytest.fixture
def version(tmp_path: Path) -> AdapterVersion:
    fetch(tmp_path / "source")
    entries = tuple(FileEntry.of(tmp_path / "source", name) for name in FILES)
    lora = LoraConfig(rank=2, alpha=2, target_modules=("q_proj",))
    manifest = Manifest(files=entries, base_name="tiny", base_fingerprint="sha256:" + "0" * 64, lora=lora)
    created = datetime(2026, 1, 2, tzinfo=UTC)
    return AdapterVersion(
        name="support", number=3, digest=manifest.digest, manifest=manifest, created=created, actor="ada"
    )


def fetch(folder: Path) -> None:
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)


def never(folder: Path) -> None:
    raise AssertionError(folder)


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_second_pull_links_and_fetches_nothing(version: AdapterVersion, tmp_path: Path) -> None:
    cache = PullCache(tmp_path / "cache")
    assert not cache.pull(version, tmp_path / "one", fetch)
    assert cache.pull(version, tmp_path / "two", never)
    for folder in ("one", "two"):
        assert content(tmp_path / folder) == FILES
        (tmp_path / folder / "adapter_config.json").write_text("[]")  # a copy, which belongs to whoever pulled
    weights = [tmp_path / folder / "adapter_model.safetensors" for folder in ("one", "two")]
    assert weights[0].samefile(weights[1])
    assert not weights[0].stat().st_mode & 0o222
    assert cache.pull(version, tmp_path / "three", never)
    assert content(tmp_path / "three") == FILES
    with pytest.raises(Conflict):
        cache.pull(version, tmp_path / "three", never)


def test_a_pulled_file_that_was_written_to_is_fetched_again(version: AdapterVersion, tmp_path: Path) -> None:
    cache = PullCache(tmp_path / "cache")
    cache.pull(version, tmp_path / "one", fetch)
    weights = tmp_path / "one" / "adapter_model.safetensors"
    weights.chmod(0o644)
    with weights.open("r+b") as stream:
        stream.write(b"x")
    assert not cache.pull(version, tmp_path / "two", fetch)
    assert content(tmp_path / "two") == FILES
    os.utime(tmp_path / "two" / "adapter_model.safetensors")  # touched, but whole
    assert cache.pull(version, tmp_path / "three", never)
    assert content(tmp_path / "three") == FILES


def test_another_file_system_gets_copies(
    version: AdapterVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PullCache(tmp_path / "cache")
    cache.pull(version, tmp_path / "one", fetch)

    def across(*_: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(Path, "hardlink_to", across)
    assert cache.pull(version, tmp_path / "two", never)
    assert content(tmp_path / "two") == FILES
    assert not (tmp_path / "two" / "adapter_model.safetensors").samefile(tmp_path / "one" / "adapter_model.safetensors")


def test_a_failed_fetch_leaves_nothing_and_the_limit_holds(version: AdapterVersion, tmp_path: Path) -> None:
    cache = PullCache(tmp_path / "cache", limit=LINKED)

    def broken(folder: Path) -> None:
        fetch(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.pull(version, tmp_path / "one", broken)
    assert not (tmp_path / "one").exists()
    assert not [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    cache.pull(version, tmp_path / "one", fetch)
    (tmp_path / "cache" / "ff").mkdir()
    old = tmp_path / "cache" / "ff" / "old"
    old.write_bytes(b"old")
    for file in (tmp_path / "cache").glob("??/*"):
        if file != old:
            file.unlink()
    cache.pull(version, tmp_path / "two", fetch)
    assert not old.exists()


def test_a_pull_works_while_the_registry_is_away(
    version: AdapterVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = "http://127.0.0.1:9"
    monkeypatch.setenv("ADAPTORY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ADAPTORY_REGISTRY", away)
    PullCache(tmp_path / "home" / "cache" / "pulled").pull(version, tmp_path / "one", fetch)
    KnownRefs(tmp_path / "home" / "cache" / "refs", away).remember(AdapterRef.parse("support@canary"), version)
    two = tmp_path / "two"
    done = CliRunner().invoke(command, ["pull", "support@canary", "--out", str(two)])
    assert done.exit_code == 0, done.output
    assert "The registry is away; support@canary was support:3" in done.output
    assert content(two) == FILES
    unknown = CliRunner().invoke(command, ["pull", "support@prod", "--out", str(tmp_path / "three")])
    assert unknown.exit_code == 1
    assert not (tmp_path / "three").exists()


def test_small_content_that_was_changed_in_secret_is_fetched_again(version: AdapterVersion, tmp_path: Path) -> None:
    cache = PullCache(tmp_path / "cache")
    cache.pull(version, tmp_path / "one", fetch)
    (small,) = [file for file in (tmp_path / "cache").glob("??/*") if file.stat().st_size < LINKED]
    state = small.stat()
    small.chmod(0o644)
    small.write_bytes(b"[]")
    os.utime(small, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(Corrupted, match="was changed"):
        cache.pull(version, tmp_path / "two", never)
    assert not cache.pull(version, tmp_path / "two", fetch)
    assert content(tmp_path / "two") == FILES


def test_content_that_another_pull_removes_meanwhile_is_fetched_again(
    version: AdapterVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PullCache(tmp_path / "cache")
    cache.pull(version, tmp_path / "one", fetch)
    has = PullCache._has

    def then_gone(self: PullCache, entry: FileEntry) -> bool:
        found = has(self, entry)
        self._place(entry).unlink()
        return found

    monkeypatch.setattr(PullCache, "_has", then_gone)
    assert not cache.pull(version, tmp_path / "two", fetch)
    assert content(tmp_path / "two") == FILES


def test_what_a_killed_pull_left_is_removed_after_a_day(version: AdapterVersion, tmp_path: Path) -> None:
    killed, young = tmp_path / "cache" / ".pull-killed", tmp_path / "cache" / ".pull-young"
    for folder in (killed, young):
        (folder / "version").mkdir(parents=True)
    os.utime(killed, (0, 0))
    PullCache(tmp_path / "cache").pull(version, tmp_path / "one", fetch)
    assert (killed.exists(), young.exists()) == (False, True)
