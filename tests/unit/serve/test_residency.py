"""Loads, leases and evictions, over a real registry and an engine that only notes what it is told."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from registry.store import Registry
from registry.version import AdapterVersion
from serve.errors import AdapterRefused, EngineAway
from serve.residency import Residency, engine_name
from tests.unit.serve.conftest import Push


class NotingEngine:
    """Knows names; ``most`` is the highest number of names and of simultaneous loads that it ever saw."""

    def __init__(self) -> None:
        self.names: dict[str, Path] = {}
        self.loads = 0
        self.loading = 0
        self.most_names = 0
        self.most_loading = 0

    async def load(self, name: str, folder: Path) -> None:
        assert name not in self.names
        assert (folder / "adapter_model.safetensors").is_file()
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
    return Residency(cache=tmp_path / "cache", limit=3, pull=registry.versions.pull, probe=judge.check)


def use(residency: Residency[NotingEngine], *versions: AdapterVersion) -> None:
    async def run() -> None:
        for version in versions:
            async with residency.use(version) as name:
                assert name == engine_name(version.digest)

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
    residency.attach(engine)

    async def run() -> None:
        async with residency.use(a):
            for version in (b, c, b, d):
                async with residency.use(version):
                    assert set(engine.names) >= {engine_name(a.digest), engine_name(version.digest)}
            assert set(engine.names) == {engine_name(version.digest) for version in (a, b, d)}

    asyncio.run(run())
    assert engine.most_names == 3
    assert residency.evictions == 1


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
    assert engine.loads == 1
    assert engine.names == {}


def test_damaged_files_are_pulled_again_before_a_load(
    residency: Residency[NotingEngine], push: Push, tmp_path: Path
) -> None:
    version = push("demo")
    residency.attach(NotingEngine())
    use(residency, version)
    residency.detach()
    (weights,) = (tmp_path / "cache").glob("*/adapter_model.safetensors")
    whole = weights.read_bytes()
    weights.unlink()
    weights.write_bytes(whole[:-1])
    residency.attach(NotingEngine())
    use(residency, version)
    assert weights.read_bytes() == whole


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
        async with residency.use(version) as name:
            return name

    async def run() -> None:
        first, second = asyncio.create_task(one()), asyncio.create_task(one())
        await asyncio.sleep(0.0005)
        first.cancel()
        assert await second == engine_name(version.digest)

    asyncio.run(run())
    assert engine.loads == 1
