"""Garbage collection beside pushes, on SQLite with a folder and on a real PostgreSQL with a real S3."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from registry.base_model import BaseModel
from registry.errors import Unavailable
from registry.settings import Settings
from registry.store import Registry
from tests.integration.store_servers import Opened
from tests.unit.registry.conftest import MakeAdapter

AT_ONCE = timedelta(0)
PUSHERS, PUSHES = 3, 6


@pytest.fixture(params=["unscaled", "scaled"])
def settings(request: pytest.FixtureRequest) -> Settings:
    """An empty registry, once of each kind."""
    chosen: Settings = request.getfixturevalue(request.param)
    return chosen


def test_pushes_keep_what_they_need_while_collections_run(
    settings: Settings, opened: Opened, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    """The collector spares nothing for being fresh, so it meets every push between its content and its version."""
    registry = opened.registry(settings)
    registry.versions.push(make_adapter(1000), "first", actor="ada", base=base)
    folders = [[make_adapter(10 * pusher + push) for push in range(PUSHES)] for pusher in range(PUSHERS)]
    done = threading.Event()

    def push(pusher: int) -> None:
        mine = Registry.open(settings)
        for folder in folders[pusher]:
            version = mine.versions.push(folder, "support", actor="ada", base=base).version
            if version.number % 3 == 0:
                mine.deletions.mark(str(version), actor="ada", grace=AT_ONCE)
        mine.close()

    def collect() -> int:
        runs = 0
        while not done.is_set():
            registry.collection.run(actor="gc", fresh=AT_ONCE)
            runs += 1
        return runs

    with ThreadPoolExecutor(PUSHERS + 1) as pool:
        collecting = pool.submit(collect)
        try:
            for pushing in [pool.submit(push, pusher) for pusher in range(PUSHERS)]:
                pushing.result()
        finally:
            done.set()
    assert collecting.result() > 1
    registry.collection.run(actor="gc", fresh=AT_ONCE)
    numbers = range(1, PUSHERS * PUSHES + 1)
    assert [version.number for version in registry.versions.list("support")] == [one for one in numbers if one % 3]
    assert [one.number for one in registry.deletions.list() if one.removed] == [one for one in numbers if one % 3 == 0]
    assert registry.verification.run() == []
    assert {digest for digest, _, _ in registry.blobs.digests()} == registry.verification.blobs().keys()


def test_a_collection_that_lost_its_lock_removes_nothing_more(
    scaled: Settings,
    opened: Opened,
    base: BaseModel,
    make_adapter: MakeAdapter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = opened.registry(scaled)
    registry.versions.push(make_adapter(), "support", actor="ada", base=base)
    mine = len(list(registry.blobs.digests()))
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
        with registry.blobs.stage() as staged:
            registry.blobs.keep(staged, (registry.blobs.copy_in(tmp_path / name, staged, name),))
    remove = registry.blobs.remove

    def remove_and_cut(digest: str) -> None:
        remove(digest)
        with psycopg.connect(scaled.registry) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and application_name = 'adaptory'"
            )

    monkeypatch.setattr(registry.blobs, "remove", remove_and_cut)
    with pytest.raises(Unavailable, match="does not answer"):
        registry.collection.run(actor="gc", fresh=AT_ONCE)
    assert len(list(registry.blobs.digests())) == mine + 2
