"""One flipped bit anywhere in what must not change is found by ``verify``, and by ``pull`` where pull reads it."""

import sqlite3
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from registry.artifact import Artifact
from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import AdaptoryError, Corrupted
from tests.unit.registry.conftest import MakeAdapter
from tests.unit.registry.test_aliases import profile, report

TABLES = ("versions", "adapters", "aliases", "moves", "reports", "artifacts", "deletions")
NUMBERS_OF_THE_DATABASE = {"id"}
FLAGS = {"passed", "forced"}  # any number but 0 is true: one bit of them says something

any_number = st.integers(0, 10**9)
common = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def filled(tmp_path: Path, base: BaseModel, make_adapter: MakeAdapter) -> Iterator[EmbeddedRegistry]:
    registry = EmbeddedRegistry(tmp_path / "registry")
    for seed in (1, 2, 3, 4):
        registry.versions.push(make_adapter(seed), "support", actor="ada", base=base, note="a note")
    for number in (1, 2):
        registry.aliases.promote(f"support:{number}", "canary", actor="ada", reason="because")
    version = registry.versions.get("support:1")
    registry.reports.add(report(version, profile(base), "too bad"))
    folder = tmp_path / "form"
    folder.mkdir()
    (folder / "model.gguf").write_bytes(b"gguf")
    registry.artifacts.add(
        Artifact(version_digest=version.digest, form="gguf", quant="q8_0", files=(), recipe={"tool": "1"}), folder
    )
    registry.deletions.mark("support:3", actor="ada", reason="old", grace=timedelta(0))
    registry.collection.run(actor="gc")
    registry.deletions.mark("support:4", actor="ada", reason="older")
    assert registry.verification.run() == []
    yield registry
    registry.close()


def flipped(value: object, column: str, position: int, bit: int) -> object:
    """The value with one bit changed, still something that the database can read."""
    if isinstance(value, int):
        return value ^ (1 if column in FLAGS else 1 << bit % 31)
    assert isinstance(value, str)
    content = bytearray(value, "utf-8")
    content[position % len(content)] ^= 1 << bit % 7
    return content.decode("utf-8", "replace")


@common
@given(table=any_number, cell=any_number, position=any_number, bit=st.integers(0, 30))
def test_a_flipped_bit_in_a_row_is_found(
    table: int, cell: int, position: int, bit: int, filled: EmbeddedRegistry, tmp_path: Path
) -> None:
    name = TABLES[table % len(TABLES)]
    database = sqlite3.connect(tmp_path / "registry" / "registry.db", isolation_level=None)
    database.row_factory = sqlite3.Row
    cells = [
        (row, column)
        for row in database.execute(f"select rowid as place, * from {name}")  # noqa: S608 - a name from above
        for column in row.keys()[1:]
        if column not in NUMBERS_OF_THE_DATABASE and row[column] not in {None, ""}
    ]
    row, column = cells[cell % len(cells)]
    other = flipped(row[column], column, position, bit)
    assume(other != row[column])
    update = f"update {name} set {column} = ? where rowid = ?"  # noqa: S608 - names from above
    database.execute(update, (other, row["place"]))
    try:
        assert filled.verification.run(), (name, column, row[column], other)
        if name == "versions":
            with pytest.raises(AdaptoryError):
                filled.versions.get(f"support:{row['number']}")
    finally:
        database.execute(update, (row[column], row["place"]))
        database.close()
    assert filled.verification.run() == []


@common
@given(blob=any_number, position=any_number, bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_blob_is_found(
    blob: int, position: int, bit: int, filled: EmbeddedRegistry, tmp_path: Path
) -> None:
    versions = [filled.versions.get(f"support:{number}") for number in (1, 2)]
    artifacts = filled.artifacts.list(versions[0].digest)
    entries = [entry for version in versions for entry in version.manifest.files]
    entries += [entry for artifact in artifacts for entry in artifact.files]
    entry = entries[blob % len(entries)]
    hexadecimal = entry.digest.removeprefix("sha256:")
    file = tmp_path / "registry" / "blobs" / "sha256" / hexadecimal[:2] / hexadecimal[2:]
    kept = file.read_bytes()
    content = bytearray(kept)
    content[position % len(content)] ^= 1 << bit
    file.chmod(0o644)
    file.write_bytes(content)
    out = Path(tempfile.mkdtemp(dir=tmp_path))
    try:
        assert len(filled.verification.run()) == 1
        for version in versions:
            if entry in version.manifest.files:
                with pytest.raises(Corrupted):
                    filled.versions.pull(version, out / str(version.number))
        for artifact in artifacts:
            if entry in artifact.files:
                with pytest.raises(Corrupted):
                    filled.artifacts.pull(artifact, out / "form")
        assert not list(out.iterdir())
    finally:
        file.write_bytes(kept)
