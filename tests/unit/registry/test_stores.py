"""Where a registry is said to be, and what errors say of it."""

import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from registry.base_model import BaseModel
from registry.embedded.blobs import Blobs
from registry.embedded.registry import EmbeddedRegistry
from registry.embedded.s3_blobs import PART, S3Blobs
from registry.embedded.schema import HEAD, known_revisions, migrate, revision
from registry.embedded.sqlite import open_sqlite
from registry.embedded.stores import open_stores
from registry.errors import Corrupted, InvalidInput, Refused, Unavailable
from registry.settings import S3Access, Settings
from tests.unit.registry.conftest import MakeAdapter

PASSWORD = "hunter2"


def settings(tmp_path: Path, **variables: str) -> Settings:
    return Settings.from_environment({"ADAPTORY_HOME": str(tmp_path), "ADAPTORY_ACTOR": "ada", **variables})


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ADAPTORY_REGISTRY": f"mysql://ada:{PASSWORD}@db/registry"}, "begins with mysql://"),
        ({"ADAPTORY_REGISTRY": f"postgresql://ada:{PASSWORD}@db/registry"}, "needs ADAPTORY_BLOBS"),
        ({"ADAPTORY_BLOBS": "gs://bucket"}, "begins with gs://"),
        ({"ADAPTORY_BLOBS": "s3:///prefix"}, "names no bucket"),
        (
            {"ADAPTORY_REGISTRY": f"postgresql://ada:{PASSWORD}@db:port/registry", "ADAPTORY_BLOBS": "blobs"},
            "no URL of a PostgreSQL database",
        ),
    ],
)
def test_a_location_that_is_none_is_refused(tmp_path: Path, variables: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as refused:
        open_stores(settings(tmp_path, **variables))
    assert PASSWORD not in refused.value.message + refused.value.hint


def test_settings_never_print_a_secret(tmp_path: Path) -> None:
    secrets = {"AWS_SECRET_ACCESS_KEY": PASSWORD, "AWS_SESSION_TOKEN": PASSWORD, "AWS_ACCESS_KEY_ID": "id"}
    printed = repr(settings(tmp_path, ADAPTORY_REGISTRY=f"postgresql://ada:{PASSWORD}@db/registry", **secrets))
    assert PASSWORD not in printed


def test_a_server_that_is_away_is_named_without_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.embedded.postgres.PAUSES", ())
    away = settings(
        tmp_path, ADAPTORY_REGISTRY=f"postgresql://ada:{PASSWORD}@127.0.0.1:1/registry", ADAPTORY_BLOBS=str(tmp_path)
    )
    with pytest.raises(Unavailable) as gone:
        open_stores(away)
    expected = "The registry's database 127.0.0.1/registry does not answer: there is no connection to it."
    assert gone.value.message == expected


def test_content_may_be_in_another_folder(tmp_path: Path) -> None:
    chosen = settings(tmp_path, ADAPTORY_BLOBS=str(tmp_path / "elsewhere"))
    stores = open_stores(chosen)
    assert isinstance(stores.blobs, Blobs)
    assert stores.blobs.root == tmp_path / "elsewhere"
    stores.close()
    stores = open_stores(replace(chosen, blobs=""))
    assert isinstance(stores.blobs, Blobs)
    assert stores.blobs.root == tmp_path / "registry" / "blobs"
    stores.close()


def test_an_older_file_is_migrated_and_a_newer_one_refused(tmp_path: Path) -> None:
    file = tmp_path / "registry" / "registry.db"
    EmbeddedRegistry(tmp_path / "registry").close()
    database = open_sqlite(file)
    assert migrate(database, "0003") == (HEAD, "0003")
    EmbeddedRegistry(tmp_path / "registry").close()
    assert revision(database) == HEAD == known_revisions()[-1]
    with database.write() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")
    with pytest.raises(Refused, match="has the schema 9999; this Adaptory knows up to"):
        EmbeddedRegistry(tmp_path / "registry")
    with pytest.raises(Refused, match="does not know the schema 9999"):
        migrate(database, HEAD)
    with pytest.raises(InvalidInput, match="no schema 12"):
        migrate(database, "12")
    database.close()


def test_a_folder_of_blobs_reads_ranges_and_counts(tmp_path: Path) -> None:
    blobs = Blobs(tmp_path / "blobs")
    (tmp_path / "file").write_bytes(b"0123456789")
    with blobs.stage() as staged:
        entry = blobs.copy_in(tmp_path / "file", staged, "sub/file")
        blobs.keep(staged, (entry,))
        blobs.keep(staged, (entry,))
    assert b"".join(blobs.read(entry.digest, 3, 7)) == b"3456"
    assert b"".join(blobs.read(entry.digest, 3)) == b"3456789"
    assert [(digest, size) for digest, size, _ in blobs.digests()] == [(entry.digest, 10)]
    assert blobs.check(entry.digest)
    assert blobs.url(entry.digest, 60) is None
    blobs.remove(entry.digest)
    blobs.remove(entry.digest)
    assert blobs.size(entry.digest) is None
    assert not blobs.check(entry.digest)
    with pytest.raises(Corrupted, match="missing"):
        blobs.read(entry.digest)


def test_who_stops_reading_a_bucket_waits_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blobs = S3Blobs("s3://bucket", S3Access(endpoint="http://127.0.0.1:1", region="none"), tmp_path)
    stopped, ended = threading.Event(), threading.Event()

    def read(_digest: str, start: int, _stop: int) -> bytes:
        if start:
            stopped.wait(5)
            ended.set()
        return b"x"

    monkeypatch.setattr(blobs, "size", lambda _digest: 8 * PART)
    monkeypatch.setattr(blobs, "_range", read)
    pieces = blobs.read("sha256:" + "0" * 64)
    assert next(pieces) == b"x"
    pieces.close()  # type: ignore[attr-defined]  # it is a generator
    assert not ended.is_set()
    stopped.set()


def test_a_folder_may_be_called_anything(tmp_path: Path) -> None:
    folder = tmp_path / "what?a=b" / "50%"
    EmbeddedRegistry(folder).close()
    assert (folder / "registry.db").is_file()


def test_a_mistyped_registry_does_not_collect_the_content_of_the_right_one(
    tmp_path: Path, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    at_once, shared = timedelta(0), {"ADAPTORY_BLOBS": str(tmp_path / "blobs")}
    right = EmbeddedRegistry(open_stores(settings(tmp_path, ADAPTORY_REGISTRY=str(tmp_path / "prod"), **shared)))
    right.versions.push(make_adapter(1), "support", actor="ada", base=base)
    mistyped = EmbeddedRegistry(open_stores(settings(tmp_path, ADAPTORY_REGISTRY=str(tmp_path / "prdo"), **shared)))
    with pytest.raises(Refused, match="Nothing was ever pushed"):
        mistyped.collection.run(actor="gc", fresh=at_once)
    mistyped.close()
    assert right.collection.run(actor="gc", fresh=at_once).blobs == 0
    assert right.verification.run() == []
    right.close()
