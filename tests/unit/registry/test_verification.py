import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.store import Registry
from tests.unit.registry.conftest import MakeAdapter


@pytest.fixture
def filled(registry: Registry, base: BaseModel, make_adapter: MakeAdapter) -> Registry:
    for seed in (1, 2):
        registry.versions.push(make_adapter(seed), "support", actor="ada", base=base)
    for number in (1, 2, 1):
        registry.aliases.promote(f"support:{number}", "canary", actor="ada", reason="because")
    assert registry.verification.run() == []
    return registry


def change(tmp_path: Path, statement: str) -> None:
    connection = sqlite3.connect(tmp_path / "registry" / "registry.db")
    with connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        (
            "update versions set manifest = replace(manifest, 'tiny', 'tidy') where number = 2",
            "support:2: the manifest",
        ),
        ("update moves set reason = 'other' where sequence = 2", "entry 2 of the history"),
        ("update moves set actor = 'eve', hash = 'sha256:00' where sequence = 1", "entry 1 of the history"),
        ("delete from moves where sequence = 3", "entries are missing"),
        ("update aliases set number = 2", "support@canary does not point"),
        ("delete from aliases", "support@canary does not point"),
    ],
)
def test_a_changed_row_is_found(filled: Registry, tmp_path: Path, statement: str, finding: str) -> None:
    change(tmp_path, statement)
    assert any(finding in line for line in filled.verification.run())


def test_every_flipped_byte_and_missing_blob_is_found(filled: Registry, tmp_path: Path) -> None:
    blobs = sorted((tmp_path / "registry" / "blobs" / "sha256").glob("*/*"))
    for blob in blobs:
        kept = blob.read_bytes()
        blob.chmod(0o644)
        blob.write_bytes(bytes([kept[0] ^ 1]) + kept[1:])
        assert len(filled.verification.run()) == 1
        blob.write_bytes(kept)
    blobs[0].unlink()
    assert ["missing" in line for line in filled.verification.run()] == [True]


def test_what_is_collected_while_it_is_verified_is_not_missing(
    filled: EmbeddedRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once, size = timedelta(0), filled.blobs.size

    def late(digest: str) -> int | None:
        if not filled.deletions.list():
            filled.deletions.mark("support:2", actor="ada", grace=at_once)
            filled.collection.run(actor="gc", fresh=at_once)
        return size(digest)

    monkeypatch.setattr(filled.blobs, "size", late)
    assert filled.verification.run() == []
    assert [version.number for version in filled.versions.list("support")] == [1]
