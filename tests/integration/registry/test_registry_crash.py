"""Whatever dies, fills up or goes away: no half version is ever visible, and the next push works."""

import os
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.embedded.schema import migrate
from registry.errors import Unavailable
from tests.integration.registry.killing import POSSIBLE, count_changes, kill_at
from tests.integration.small_disk import fill, small_disk
from tests.unit.registry.conftest import MakeAdapter

POINTS = 40
AT_ONCE = timedelta(0)
OLD = "0003"  # a schema without marks, deletions and seals


@dataclass(frozen=True)
class Store:
    """A registry with three versions of ``support``, canary on the first, and a fourth adapter ready to be pushed."""

    template: Path
    work: Path
    base: BaseModel
    folder: Path
    later: Path
    large: Path

    @property
    def place(self) -> Path:
        """Where the copy is that a test harms."""
        return self.work / "registry"

    def fresh(self) -> Path:
        """A new copy there."""
        shutil.rmtree(self.place, ignore_errors=True)
        return Path(shutil.copytree(self.template, self.place))


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """In memory where that can be had: SIGKILL takes nothing from the disk's cache, and syncing costs most here."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.fixture
def store(work: Path, base: BaseModel, make_adapter: MakeAdapter) -> Store:
    made = Store(work / "template", work, base, make_adapter(4), make_adapter(5), make_adapter(6))
    (made.large / "README.md").write_text("word " * 12_000)
    with closing(EmbeddedRegistry(made.template)) as registry:
        for seed in (1, 2, 3):
            registry.versions.push(make_adapter(seed), "support", actor="ada", base=base)
        registry.aliases.promote("support:1", "canary", actor="ada")
    return made


def prove_sound(
    store: Store,
    folder: Path,
    look: Callable[[EmbeddedRegistry], object] = lambda _: None,
    warm: EmbeddedRegistry | None = None,
) -> None:
    """Nothing is half, the next push works, and garbage collection takes what is left over; ``look`` comes first."""
    with closing(warm or EmbeddedRegistry(folder)) as registry:
        look(registry)
        assert registry.verification.run() == []
        taken = [version.number for version in registry.versions.list("support")]
        taken += [deletion.number for deletion in registry.deletions.list("support")]
        assert sorted(taken) == list(range(1, len(taken) + 1))
        pushed = registry.versions.push(store.later, "support", actor="ada", base=store.base)
        assert (pushed.created, pushed.version.number) == (True, len(taken) + 1)
        registry.collection.run(actor="gc", fresh=AT_ONCE)
        assert {digest for digest, _, _ in registry.blobs.digests()} == registry.verification.blobs().keys()
        assert not list((folder / "blobs" / "staging").iterdir())
        assert registry.verification.run() == []


def killed_everywhere(
    store: Store,
    act: Callable[[EmbeddedRegistry], object],
    look: Callable[[EmbeddedRegistry], object],
    *,
    anew: bool = False,
) -> None:
    """Kill ``act`` at POINTS changes to files, spread over all that it makes, and prove each time what is left.

    One registry is opened once and closed, so that it knows its SQL by heart: parents and children connect with it in
    a moment. With ``anew`` what a child leaves is opened by another one, as after a restart.
    """
    folder = store.fresh()
    with closing(EmbeddedRegistry(folder)) as registry:
        pass
    store.fresh()
    changes = count_changes(partial(act, registry))
    assert changes >= 10
    for point in sorted({round(index * (changes - 1) / (POINTS - 1)) for index in range(POINTS)}):
        store.fresh()
        kill_at(partial(act, registry), point)
        prove_sound(store, folder, look, None if anew else registry)


needs_tracing = pytest.mark.skipif(not POSSIBLE, reason="system calls are counted on Linux only")


@needs_tracing
def test_a_killed_push(store: Store) -> None:
    def push(registry: EmbeddedRegistry) -> None:
        registry.versions.push(store.folder, "support", actor="ada", base=store.base)

    versions = set()
    killed_everywhere(store, push, lambda registry: versions.add(len(registry.versions.list("support"))))
    assert versions == {3, 4}  # some were killed before it was visible, some after


@needs_tracing
def test_a_killed_promote(store: Store) -> None:
    def promote(registry: EmbeddedRegistry) -> None:
        registry.aliases.promote("support:2", "canary", actor="ada")

    named = set()

    def look(registry: EmbeddedRegistry) -> None:
        named.add(registry.versions.get("support@canary").number)
        assert len(registry.aliases.history("support")) == registry.versions.get("support@canary").number

    killed_everywhere(store, promote, look)
    assert named == {1, 2}


@needs_tracing
def test_a_killed_garbage_collection(store: Store) -> None:
    with closing(EmbeddedRegistry(store.template)) as registry:
        for number in (2, 3):
            registry.deletions.mark(f"support:{number}", actor="ada", grace=AT_ONCE)

    def collect(registry: EmbeddedRegistry) -> None:
        registry.collection.run(actor="gc", fresh=AT_ONCE)

    removed = set()

    def look(registry: EmbeddedRegistry) -> None:
        removed.add(sum(one.removed is not None for one in registry.deletions.list()))

    killed_everywhere(store, collect, look)
    assert removed == {0, 1, 2}


@needs_tracing
def test_a_killed_migration(store: Store) -> None:
    with closing(EmbeddedRegistry(store.template)) as registry:
        migrate(registry._database, OLD)

    def bring_up(_: EmbeddedRegistry) -> None:
        EmbeddedRegistry(store.place).close()

    killed_everywhere(store, bring_up, lambda registry: registry.versions.get("support@canary"), anew=True)


@pytest.mark.parametrize("spare", [0, 4096, 40_000, 200_000])
def test_a_full_disk(store: Store, spare: int) -> None:
    folder = store.fresh()
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    with small_disk(store.work / "disk", 2 * size + 4_000_000) as disk:
        folder = Path(shutil.copytree(folder, disk / "registry"))
        with closing(EmbeddedRegistry(folder)) as registry:
            registry.versions.get("support:1")  # the connection is there before the disk is full
            fill(disk / "filler", spare)
            assert works_or_is_unavailable(registry, store) or spare < 100_000
        (disk / "filler").unlink()
        prove_sound(store, folder)


@pytest.mark.parametrize("limit", [0, 4096, 40_000])
def test_files_that_cannot_grow(store: Store, limit: int) -> None:
    """In a child that cannot write beyond ``limit`` bytes into any file."""
    folder = store.fresh()
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            with closing(EmbeddedRegistry(folder)) as registry:
                os._exit(works_or_is_unavailable(registry, store))
        except Unavailable:  # it could not even be opened
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the parent hears of it by the exit code
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    prove_sound(store, folder)


def works_or_is_unavailable(registry: EmbeddedRegistry, store: Store) -> bool:
    """Whether a push of 60 kB works; if not, it says in one line that the disk is at fault."""
    try:
        assert registry.versions.push(store.large, "support", actor="ada", base=store.base).version.number == 4
    except Unavailable as error:
        assert "\n" not in error.message
        return False
    return True


def test_a_store_that_goes_away(store: Store) -> None:
    """Its folder is renamed while a push copies; when it is back, all is as before."""
    folder = store.fresh()
    away = store.work / "away"

    def leave(_size: int) -> None:
        if not away.exists():
            folder.rename(away)

    with closing(EmbeddedRegistry(folder)) as registry, pytest.raises(Unavailable, match="registry"):
        registry.versions.push(store.folder, "support", actor="ada", base=store.base, on_bytes=leave)
    shutil.rmtree(folder, ignore_errors=True)
    away.rename(folder)
    prove_sound(store, folder)
