"""No step of the engine ever needs an adapter that the engine has forgotten: held against vLLM's own rule."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.store import Registry
from serve.adapters.disk_cache import DiskCache
from serve.adapters.residency import Residency
from serve.engine.vllm_process import SPARE_HOST_ADAPTERS
from tests.unit.serve.conftest import Push

LIMIT = 4
SLOTS = 2
VERSIONS = 9
PINS = LIMIT - SLOTS


class ForgetfulEngine:
    """vLLM's host tier (0.32): each load is an adapter of its own, and the one touched least recently is forgotten."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}
        self.tier: OrderedDict[int, None] = OrderedDict()
        self.loads = 0

    async def load(self, name: str, folder: Path) -> None:
        assert folder.is_dir()
        self.loads += 1
        self.ids[name] = self.loads
        if len(self.tier) + 1 > LIMIT + SPARE_HOST_ADAPTERS:
            self.tier.popitem(last=False)
        self.tier[self.loads] = None

    async def unload(self, name: str) -> None:
        self.ids.pop(name, None)

    def step(self, identity: int) -> None:
        assert identity in self.tier, "vLLM would read the folder again, inside a step"
        self.tier.move_to_end(identity)

    async def probe(self, engine: "ForgetfulEngine", name: str) -> None:
        engine.step(engine.ids[name])


# How a request goes: which adapter, how often the engine computes, for how many loads of others the client then goes
# on reading, and whether it gives up before the engine has computed.
REQUEST = st.tuples(st.integers(0, VERSIONS - 1), st.integers(1, 3), st.integers(0, 9), st.booleans())
Request = tuple[int, int, int, bool]


class Story:
    """Requests over a residency and the engine."""

    def __init__(self, registry: Registry, push: Push, cache: Path, pins: int) -> None:
        self.versions = registry.versions.list() or [push("demo") for _ in range(VERSIONS)]
        self.engine = ForgetfulEngine()
        disk = DiskCache(cache, 1 << 30, registry.versions.pull)
        self.residency = Residency[ForgetfulEngine](disk=disk, limit=LIMIT, probe=self.engine.probe)
        self.residency.attach(self.engine)
        self.residency.pinned = frozenset(version.digest for version in self.versions[:pins])
        self.waiting = 0
        self.reader = False

    async def one(self, request: Request) -> None:
        number, steps, slow, cancelled = request
        async with self.residency.use(self.versions[number]) as used:
            identity = self.engine.ids[used.name]
            for _ in range(0 if cancelled else steps):
                await asyncio.sleep(0)
                self.engine.step(identity)
            used.computed = not cancelled
            if not self.reader:  # one slot has to go on
                self.reader, end = True, self.engine.loads + slow
                while self.engine.loads < end and self.waiting:
                    await asyncio.sleep(0.0001)
                self.reader = False

    async def all(self, requests: Sequence[Request]) -> None:
        slots = asyncio.Semaphore(SLOTS)
        self.waiting = len(requests)

        async def with_slot(request: Request) -> None:
            async with slots:
                self.waiting -= 1
                await self.one(request)

        await asyncio.gather(*(with_slot(request) for request in requests))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15)
@given(st.lists(REQUEST, max_size=40), st.integers(0, PINS))
def test_the_engine_is_never_asked_for_what_it_may_have_forgotten(
    registry: Registry, push: Push, tmp_path: Path, requests: Sequence[Request], pins: int
) -> None:
    story = Story(registry, push, tmp_path / "cache", pins)
    asyncio.run(story.all(requests))
    assert len(story.residency.loaded) <= LIMIT


def test_what_a_slow_client_has_kept_busy_is_loaded_again(registry: Registry, push: Push, tmp_path: Path) -> None:
    story = Story(registry, push, tmp_path / "cache", 0)

    async def run() -> None:
        async with story.residency.use(story.versions[0]) as used:
            story.engine.step(story.engine.ids[used.name])
            used.computed = True
            for number in range(1, VERSIONS):
                await story.one((number, 1, 0, False))
        assert story.versions[0].digest in story.residency.loaded
        await story.one((0, 1, 0, False))

    asyncio.run(run())
    assert story.engine.loads == VERSIONS + 1


def test_a_pinned_adapter_that_nobody_asks_for_stays_in_the_engine(
    registry: Registry, push: Push, tmp_path: Path
) -> None:
    story = Story(registry, push, tmp_path / "cache", 1)

    async def run() -> None:
        await story.one((0, 1, 0, False))
        for number in [*range(1, VERSIONS), *range(1, VERSIONS)]:
            await story.one((number, 1, 0, False))
        await story.one((0, 1, 0, False))

    asyncio.run(run())
    assert story.engine.loads == 1 + 2 * (VERSIONS - 1)
