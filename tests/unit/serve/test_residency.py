"""Loads, leases and evictions, over a real registry and an engine that only notes what it is told."""

import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from registry.errors import Corrupted
from registry.store import Registry
from registry.version import AdapterVersion
from serve.adapters.disk_cache import DiskCache
from serve.adapters.residency import Residency, engine_name
from serve.errors import AdapterRefused, EngineAway
from tests.unit.serve.conftest import Push


class NotingEngine:
    """Knows names; ``most`` is the highest number of names and of simultaneous loads that it ever saw."""

    def __init__(self) -> None:
        self.names: dict[str, Path] = {}
        self.seen: dict[str, bytes] = {}
        self.loads = 0
        self.loading = 0
        self.most_names = 0
        self.most_loading = 0

    async def load(self, name: str, folder: Path) -> None:
        assert name not in self.names
        self.seen[name] = (folder / "adapter_model.safetensors").read_bytes()
        self.loading += 1
        self.most_loading = max(self.most_loading, self.loading)
        await asyncio.sleep(0.001)
        self.loading -= 1
        self.loads += 1
        self.names[name] = folder
        self.most_names = max(self.most_names, len(self.names))

    async def unload(self, name: str) -> None:
        self.names.pop(name, None)


class Judge:
    """A probe that refuses the digests it is told."""

    def __init__(self) -> None:
        self.refused: set[str] = set()

    async def check(self, engine: NotingEngine, name: str) -> None:
        assert name in engine.names
        if name in self.refused:
            raise AdapterRefused("it changes nothing")


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def residency(registry: Registry, tmp_path: Path, judge: Judge) -> Residency[NotingEngine]:
    return Residency(disk=DiskCache(tmp_path / "cache", 1 << 30, registry.versions.pull), limit=3, probe=judge.check)


def use(residency: Residency[NotingEngine], *versions: AdapterVersion) -> None:
    async def run() -> None:
        for version in versions:
            async with residency.use(version) as used:
                assert used.name == engine_name(version.digest)

    asyncio.run(run())


def test_simultaneous_first_requests_cause_one_load_each(residency: Residency[NotingEngine], push: Push) -> None:
    versions = [push("demo") for _ in range(3)]
    engine = NotingEngine()
    residency.attach(engine)

    async def one(version: AdapterVersion) -> None:
        async with residency.use(version):
            await asyncio.sleep(0)

    async def run() -> None:
        await asyncio.gather(*(one(version) for version in versions * 20))

    asyncio.run(run())
    assert engine.loads == 3
    assert engine.most_loading == 1


def test_the_longest_idle_goes_and_who_is_in_use_stays(residency: Residency[NotingEngine], push: Push) -> None:
    a, b, c, d = (push("demo") for _ in range(4))
    engine = NotingEngine()
    evicted: list[AdapterVersion] = []
    residency.attach(engine)
    residency.on_evicted = evicted.append

    async def run() -> None:
        async with residency.use(a):
            for version in (b, c, b, d):
                async with residency.use(version):
                    assert set(engine.names) >= {engine_name(a.digest), engine_name(version.digest)}
            assert set(engine.names) == {engine_name(version.digest) for version in (a, b, d)}

    asyncio.run(run())
    assert engine.most_names == 3
    assert evicted == [c]


def test_when_all_are_in_use_the_next_is_told_to_come_again(residency: Residency[NotingEngine], push: Push) -> None:
    *three, fourth = (push("demo") for _ in range(4))
    residency.attach(NotingEngine())

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for version in three:
                await stack.enter_async_context(residency.use(version))
            with pytest.raises(EngineAway):
                await stack.enter_async_context(residency.use(fourth))

    asyncio.run(run())


def test_a_refused_adapter_is_unloaded_and_not_tried_again(
    residency: Residency[NotingEngine], push: Push, judge: Judge
) -> None:
    version = push("demo")
    engine = NotingEngine()
    residency.attach(engine)
    judge.refused.add(engine_name(version.digest))
    for _ in range(3):
        with pytest.raises(AdapterRefused, match="changes nothing"):
            use(residency, version)
    with pytest.raises(AdapterRefused, match="changes nothing"):
        asyncio.run(residency.fetch(version))  # before it takes a slot from anybody
    assert engine.loads == 1
    assert engine.names == {}


def remove(file: Path) -> None:
    file.unlink()


def remove_folder(file: Path) -> None:
    shutil.rmtree(file.parent)


def truncate(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def overwrite(file: Path) -> None:
    file.write_bytes(bytes(file.stat().st_size))


DAMAGES = pytest.mark.parametrize("damage", [remove, remove_folder, truncate, overwrite])


@DAMAGES
def test_damaged_files_are_pulled_again_before_a_load(
    residency: Residency[NotingEngine], push: Push, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    version = push("demo")
    residency.attach(NotingEngine())
    use(residency, version)
    residency.detach()
    (weights,) = (tmp_path / "cache").glob("*/adapter_model.safetensors")
    whole = weights.read_bytes()
    damage(weights)
    engine = NotingEngine()
    residency.attach(engine)
    use(residency, version)
    assert weights.read_bytes() == whole
    assert engine.seen[engine_name(version.digest)] == whole


@DAMAGES
def test_what_happens_on_the_disk_after_a_load_does_not_reach_the_engine(
    residency: Residency[NotingEngine], push: Push, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    versions = [push("demo") for _ in range(4)]
    engine = NotingEngine()
    residency.attach(engine)
    use(residency, *versions[:3])
    assert not any(folder.exists() for folder in engine.names.values())  # nothing to damage that it could read
    whole = {file: file.read_bytes() for file in (tmp_path / "cache").glob("*/adapter_model.safetensors")}
    for file in whole:
        damage(file)
    use(residency, *versions[:3])
    assert engine.loads == 3
    use(residency, versions[3], *versions[:3])  # each was evicted meanwhile, and is loaded from whole files again
    assert engine.loads == 7
    assert {engine.seen[engine_name(version.digest)] for version in versions[:3]} == set(whole.values())


def test_a_private_copy_that_is_damaged_is_not_held_against_the_adapter(
    residency: Residency[NotingEngine], push: Push
) -> None:
    version = push("demo")

    class Unlucky(NotingEngine):
        async def load(self, name: str, folder: Path) -> None:
            if not self.loads:
                self.loads += 1
                overwrite(folder / "adapter_model.safetensors")
                raise AdapterRefused("The engine cannot load this adapter: InvalidHeader")
            await super().load(name, folder)

    residency.attach(Unlucky())
    with pytest.raises(Corrupted):
        use(residency, version)
    use(residency, version)


def test_after_a_restart_everything_is_loaded_again(residency: Residency[NotingEngine], push: Push) -> None:
    a, b = push("demo"), push("demo")
    residency.attach(NotingEngine())
    use(residency, a, b)
    assert residency.detach() == [b, a]
    with pytest.raises(EngineAway):
        use(residency, a)
    engine = NotingEngine()
    residency.attach(engine)
    use(residency, a)
    assert engine.loads == 1


def test_who_gives_up_does_not_stop_the_load_of_the_others(residency: Residency[NotingEngine], push: Push) -> None:
    version = push("demo")
    engine = NotingEngine()
    residency.attach(engine)

    async def one() -> str:
        async with residency.use(version) as used:
            return used.name

    async def run() -> None:
        first, second = asyncio.create_task(one()), asyncio.create_task(one())
        await asyncio.sleep(0.0005)
        first.cancel()
        assert await second == engine_name(version.digest)

    asyncio.run(run())
    assert engine.loads == 1


def test_pinned_adapters_are_neither_unloaded_nor_removed_from_the_disk(
    registry: Registry, push: Push, judge: Judge, tmp_path: Path
) -> None:
    pinned, *others = (push("demo") for _ in range(8))
    disk = DiskCache(tmp_path / "cache", 0, registry.versions.pull)  # nothing stays that nobody needs
    residency = Residency[NotingEngine](disk=disk, limit=3, probe=judge.check)
    engine = NotingEngine()
    residency.attach(engine)
    residency.pinned = frozenset([pinned.digest])
    use(residency, pinned, *others, *others)
    assert engine.loads == 1 + 2 * len(others)
    assert engine_name(pinned.digest) in engine.names
    assert pinned.digest in disk
