"""The registry on real servers: PostgreSQL and S3, beside SQLite and a folder."""

import multiprocessing
import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import make_url

from registry.alias import UNSET
from registry.base_model import BaseModel
from registry.embedded.events import announce
from registry.embedded.schema import BASE, HEAD, known_revisions, migrate, revision
from registry.embedded.stores import open_database
from registry.embedded.tables import metadata
from registry.errors import Conflict, Corrupted, InvalidInput, Refused, Unavailable
from registry.settings import S3Access, Settings
from registry.store import Registry
from tests.integration.store_servers import PASSWORD, Cable, Opened
from tests.unit.registry.conftest import MakeAdapter

PROCESSES, PUSHES = 16, 200


@pytest.fixture(params=["folder", "postgres-s3"])
def settings(request: pytest.FixtureRequest) -> Settings:
    """An empty registry, once of each kind."""
    chosen: Settings = request.getfixturevalue({"folder": "unscaled", "postgres-s3": "scaled"}[request.param])
    return chosen


def push_all(settings: Settings, folders: list[Path], base: BaseModel) -> list[int]:
    registry = Registry.open(settings)
    numbers = [registry.versions.push(folder, "support", actor="ada", base=base).version.number for folder in folders]
    registry.close()
    return numbers


def test_16_processes_push_200_versions_at_once(
    settings: Settings, opened: Opened, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    folders = [make_adapter(seed) for seed in range(PUSHES)]
    shares = [folders[start::PROCESSES] for start in range(PROCESSES)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "registry.embedded.registry", "registry.embedded.postgres"])
    registry = opened.registry(settings)
    told: list[int] = []
    with ProcessPoolExecutor(PROCESSES, mp_context=context) as pool:
        pushes = [pool.submit(push_all, settings, share, base) for share in shares]
        last = 0
        while len(told) < PUSHES and not (all(push.done() for push in pushes) and last == registry.events.last_id()):
            for event in registry.events.after(last):  # as a server follows: it never looks back
                last = event.id
                told.append(event.payload["number"])
        numbers = [number for push in pushes for number in push.result()]
    assert sorted(numbers) == list(range(1, PUSHES + 1))
    assert told == list(range(1, PUSHES + 1))
    versions = registry.versions.list("support")
    assert [version.number for version in versions] == list(range(1, PUSHES + 1))
    assert len({version.digest for version in versions}) == PUSHES
    assert registry.verification.run() == []


def test_of_two_promotes_that_race_one_wins(
    settings: Settings, opened: Opened, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    registries = [opened.registry(settings) for _ in range(2)]
    for seed in (1, 2):
        registries[0].versions.push(make_adapter(seed), "support", actor="ada", base=base)
    seen = UNSET
    for _round in range(4):
        together = threading.Barrier(2)

        def promote(racer: int, seen: str = seen, together: threading.Barrier = together) -> object:
            together.wait()
            try:
                return registries[racer].aliases.promote(
                    f"support:{racer + 1}", "canary", actor=str(racer), expected=seen
                )
            except Conflict as error:
                return error

        with ThreadPoolExecutor(2) as pool:
            won, lost = sorted(pool.map(promote, range(2)), key=lambda outcome: isinstance(outcome, Conflict))
        (alias,) = registries[0].aliases.list("support")
        assert won == alias
        assert isinstance(lost, Conflict)
        seen = alias.tag
    assert len(registries[0].aliases.history("support")) == 4
    assert registries[1].verification.run() == []


def test_an_event_that_is_committed_late_is_not_skipped(settings: Settings, opened: Opened) -> None:
    registry, first, other = opened.registry(settings), opened.database(settings), opened.database(settings)

    def write_second() -> None:
        with other.write() as connection:
            announce(connection, "version", "second", {})

    with first.write() as connection:
        announce(connection, "version", "first", {})
        second = threading.Thread(target=write_second)
        second.start()
        second.join(0.5)
        assert second.is_alive()  # waits for the first, so that ids become visible in their order
        assert registry.events.after(0) == []
    second.join()
    assert [event.subject for event in registry.events.after(0)] == ["first", "second"]


def test_migrations_go_up_and_down(
    settings: Settings, opened: Opened, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    registry = opened.registry(settings)
    registry.versions.push(make_adapter(), "support", actor="ada", base=base)
    registry.aliases.promote("support:1", "canary", actor="ada")
    database = opened.database(settings)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    assert migrate(database, "0003") == (HEAD, "0003")
    if settings.registry.startswith("postgresql"):
        with pytest.raises(Refused, match="has the schema 0003") as refused:
            opened.registry(settings)
        assert refused.value.hint == "registry migrate"
        assert migrate(database, HEAD) == ("0003", HEAD)
    assert opened.registry(settings).verification.run() == []  # a folder migrates by itself
    assert revision(database) == HEAD
    for step in reversed(known_revisions()[:-1]):
        migrate(database, step)
    assert revision(database) == BASE
    for step in known_revisions()[1:]:
        migrate(database, step)
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def killed_migration(settings: Settings) -> None:
    import alembic.op

    def die(*_args: object, **_options: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    alembic.op.create_index = die
    migrate(open_database(settings), HEAD)


def test_a_migration_that_is_killed_leaves_the_old_schema(settings: Settings, opened: Opened) -> None:
    database = opened.database(settings)
    migrate(database, "0003")
    process = multiprocessing.get_context("forkserver").Process(target=killed_migration, args=(settings,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert revision(database) == "0003"
    assert migrate(database, HEAD) == ("0003", HEAD)


def through(settings: Settings, postgres: Cable, s3: Cable) -> Settings:
    database = make_url(settings.registry).set(port=postgres.port).render_as_string(hide_password=False)
    access = replace(settings.s3, endpoint=f"http://127.0.0.1:{s3.port}")
    return replace(settings, registry=database, s3=access)


def test_a_store_that_is_gone_for_a_while(
    scaled: Settings, opened: Opened, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    postgres = Cable(make_url(scaled.registry).port or 0)
    s3 = Cable(httpx.URL(scaled.s3.endpoint).port or 0)
    registry, whole = opened.registry(through(scaled, postgres, s3)), opened.registry(scaled)
    registry.versions.push(make_adapter(1), "support", actor="ada", base=base)
    for cable in (s3, postgres):
        bytes_seen: list[int] = []

        def cut(size: int, cable: Cable = cable, seen: list[int] = bytes_seen) -> None:
            if not seen:
                cable.cut()
            seen.append(size)

        with pytest.raises(Unavailable) as gone:
            registry.versions.push(make_adapter(2), "support", actor="ada", base=base, on_bytes=cut)
        assert PASSWORD not in str(gone.value)
        assert "adaptory" not in str(gone.value)  # the database's user
        assert [version.number for version in whole.versions.list("support")] == [1]
        assert whole.verification.run() == []
        cable.mend()
    assert registry.versions.push(make_adapter(2), "support", actor="ada", base=base).version.number == 2
    registry.versions.pull(registry.versions.get("support:2"), tmp_path / "out")
    s3.cut()
    with pytest.raises(Unavailable, match="s3://registry/"):
        registry.versions.pull(registry.versions.get("support:2"), tmp_path / "again")
    assert not list(tmp_path.glob("*again*"))
    postgres.cut()


def test_large_content_goes_in_parts_and_never_appears_half(scaled: Settings, opened: Opened, tmp_path: Path) -> None:
    blobs = opened.registry(scaled).blobs
    content = os.urandom((20 << 20) + 7)
    (tmp_path / "large").write_bytes(content)

    def stop(_size: int) -> None:
        raise KeyboardInterrupt

    with blobs.stage() as staged:
        entry = blobs.copy_in(tmp_path / "large", staged, "large")
        with pytest.raises(KeyboardInterrupt):
            blobs.keep(staged, (entry,), stop)
        assert blobs.size(entry.digest) is None
        (staged / "large").write_bytes(content[:-1] + b"x")
        with pytest.raises(Corrupted, match="changed on its way"):
            blobs.keep(staged, (entry,))
        assert list(blobs.digests()) == []
        (staged / "large").write_bytes(content)
        blobs.keep(staged, (entry,))
    heard: list[int] = []
    blobs.copy_out(entry, tmp_path / "out", heard.append)
    assert (tmp_path / "out").read_bytes() == content
    assert sum(heard) == blobs.size(entry.digest) == len(content)
    assert b"".join(blobs.read(entry.digest, 7, 17 << 20)) == content[7 : 17 << 20]
    url = blobs.url(entry.digest, 60)
    assert url
    assert httpx.get(url, headers={"range": "bytes=5-9"}).content == content[5:10]


def test_changed_content_in_a_bucket_is_found(
    scaled: Settings, opened: Opened, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    import obstore
    from obstore.store import S3Store

    registry = opened.registry(scaled)
    version = registry.versions.push(make_adapter(), "support", actor="ada", base=base).version
    access, entry = scaled.s3, version.manifest.files[0]
    store = S3Store(
        "registry",
        prefix=scaled.blobs.removeprefix("s3://registry/"),
        endpoint=access.endpoint,
        region=access.region,
        access_key_id=access.key_id,
        secret_access_key=access.secret,
        client_options={"allow_http": True},
    )
    key = f"sha256/{entry.digest[7:9]}/{entry.digest[9:]}"
    kept = obstore.get(store, key).bytes().to_bytes()
    for wrong in (bytes([kept[0] ^ 1]) + kept[1:], kept[:-1], kept + b"x", b"", None):
        if wrong is None:
            obstore.delete(store, key)
        else:
            obstore.put(store, key, wrong)
        with pytest.raises(Corrupted):
            registry.versions.pull(version, tmp_path / "out")
        assert len(registry.verification.run()) == 1
        assert not list(tmp_path.glob("*out*"))
    registry.versions.push(make_adapter(), "support", actor="ada", base=base)
    assert registry.verification.run() == []  # the same push again makes it whole


def test_wrong_passwords_and_keys_are_refused_without_telling_them(scaled: Settings, opened: Opened) -> None:
    wrong = make_url(scaled.registry).set(password="secret-guess").render_as_string(hide_password=False)
    with pytest.raises(Unavailable, match="refuses the user name or the password") as refused:
        opened.registry(replace(scaled, registry=wrong))
    assert "secret-guess" not in str(refused.value)
    assert "secret-guess" not in repr(replace(scaled, registry=wrong))
    blobs = opened.registry(replace(scaled, s3=replace(scaled.s3, secret="secret-guess"))).blobs
    with pytest.raises(Unavailable, match="refuses the access key") as refused:
        blobs.size("sha256:" + "0" * 64)
    assert "secret-guess" not in str(refused.value)
    lost = opened.registry(replace(scaled, s3=S3Access(endpoint="http://127.0.0.1:1", key_id="key", secret="secret")))
    with pytest.raises(Unavailable, match="does not answer"):
        lost.blobs.size("sha256:" + "0" * 64)


def test_a_value_that_postgres_cannot_hold_is_the_users_mistake(
    scaled: Settings, opened: Opened, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    registry = opened.registry(scaled)
    with pytest.raises(InvalidInput, match="refuses a value"):
        registry.versions.push(make_adapter(), "support", actor="ada", base=base, note="a\0b")
    assert registry.versions.push(make_adapter(), "support", actor="ada", base=base).version.number == 1
