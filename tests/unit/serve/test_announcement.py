"""Swaps that can be waited for: a server that announces itself, and ``promote --wait`` beside it."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from registry.alias import Alias
from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.embedded.replicas import Replicas
from registry.errors import Refused, Unavailable
from registry.rollout import Outcome, prove_served, wait_until_served
from registry.store import Registry
from registry.version import AdapterVersion
from serve.adapters.disk_cache import DiskCache
from serve.adapters.prefetch import Prefetch
from serve.announcement import Announcement
from serve.catalogue import Catalogue
from serve.errors import AdapterRefused
from serve.pins import Pins
from serve.server import build_replica
from serve.swap import Swaps
from tests.unit.serve.conftest import Push, tiny_base
from tests.unit.serve.gateway_parts import options


class House:
    """All of a server that follows the registry; versions in ``broken`` cannot be served, others at once."""

    def __init__(self, registry: Registry, base: BaseModel, cache: Path, replicas: Replicas | None = None) -> None:
        self.registry = registry
        self.broken: set[str] = set()
        self.catalogue = Catalogue(registry, base)
        self.swaps = Swaps(self.catalogue, self.prepare)
        self.disk = DiskCache(cache, 1 << 30, registry.versions.pull)
        self.prefetch = Prefetch(self.disk)
        self.catalogue.on_pushed = self.prefetch.want
        self.catalogue.on_set = self.alias_set
        self.announcement = Announcement(
            replicas or registry.replicas,
            self.catalogue,
            self.swaps,
            url="http://here:1",
            profile="sha256:aa",
            engines=lambda: [True],
        )

    async def prepare(self, version: AdapterVersion, _instead_of: AdapterVersion | None = None) -> None:
        if version.digest in self.broken:
            raise AdapterRefused("This adapter changes nothing.")

    def alias_set(self, name: str, alias: str, version: AdapterVersion) -> None:
        self.swaps.set_anew(name, alias, version)
        self.prefetch.want(version)

    def run(self, story: Callable[[], Awaitable[None]]) -> None:
        """Run a story beside the server."""

        async def both() -> None:
            self.catalogue.merge(self.catalogue.read())
            parts = (self.catalogue.follow(), self.prefetch.run(), self.announcement.run())
            tasks = [asyncio.create_task(part) for part in parts]
            try:
                await asyncio.wait_for(story(), 60)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run(both())

    async def promote(self, ref: str, timeout: float = 30) -> Sequence[Outcome]:
        moved = self.registry.aliases.promote(ref, "canary", actor="test")
        return await waited(self.registry, moved, timeout)


async def waited(registry: Registry, moved: Alias, timeout: float) -> Sequence[Outcome]:
    return await asyncio.to_thread(wait_until_served, registry, moved, timeout, lambda _: None)


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


@pytest.fixture
def house(registry: Registry, base: BaseModel, tmp_path: Path) -> House:
    return House(registry, base, tmp_path / "cache")


def test_waiting_ends_when_the_server_answers_with_the_version(house: House, registry: Registry, push: Push) -> None:
    one, two = push("demo"), push("demo")

    async def story() -> None:
        await until(registry.replicas.list)
        for version in (one, two, one, one):
            (outcome,) = await house.promote(str(version))
            assert outcome.state == "serving"
            assert house.catalogue.find("demo@canary").version == version
        (status,) = registry.replicas.list()
        assert [(entry.alias, entry.number, entry.state) for entry in status.aliases] == [("canary", 1, "serving")]

    house.run(story)
    assert not registry.replicas.list()  # it has stopped cleanly


@pytest.mark.parametrize("first", [True, False])
def test_waiting_says_who_does_not_serve_it_and_why(house: House, registry: Registry, push: Push, first: bool) -> None:
    one, two = push("demo"), push("demo")
    house.broken.add(two.digest)

    async def story() -> None:
        await until(registry.replicas.list)
        if not first:
            await house.promote(str(one))
        for _ in range(2):  # a second attempt is an attempt
            outcomes = await house.promote(str(two))
            moved = registry.aliases.list("demo")[0]
            with pytest.raises(Refused, match=r"1 of 1 replicas do not serve it: http://here:1 .* changes nothing"):
                prove_served(moved, outcomes)
        if not first:
            assert house.catalogue.find("demo@canary").version == one
            assert "it keeps demo:1" in outcomes[0].reason
        house.broken.clear()
        assert (await house.promote(str(two)))[0].state == "serving"

    house.run(story)


def test_nobody_is_waited_for_who_serves_another_base_or_is_dead(
    registry: Registry, house: House, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    push("demo")
    other = tiny_base("another")
    push("other", other)
    moved = registry.aliases.promote("other:1", "canary", actor="test")

    async def story() -> None:
        await until(registry.replicas.list)
        assert await waited(registry, moved, 30) == []

    house.run(story)
    status = house.announcement.status()
    registry.replicas.put(status)  # as a server that was killed leaves it
    monkeypatch.setattr("registry.rollout.now", lambda: status.heartbeat.replace(year=status.heartbeat.year + 1))
    (outcome,) = asyncio.run(house.promote("demo:1"))
    assert outcome.state == "silent"


def test_a_server_that_does_not_answer_in_time_is_named(house: House, registry: Registry, push: Push) -> None:
    push("demo")
    registry.replicas.put(house.announcement.status())
    outcomes = asyncio.run(house.promote("demo:1", timeout=0))
    with pytest.raises(Refused, match="it has not heard of the move yet"):
        prove_served(registry.aliases.list("demo")[0], outcomes)


class Fickle(Replicas):
    """Replicas of a registry that can be away."""

    away = False

    def __getattribute__(self, name: str) -> object:
        if name in {"put", "beat", "remove"} and type(self).away:
            raise Unavailable("The registry's database does not answer.")
        return super().__getattribute__(name)


def test_a_registry_that_is_away_stops_nothing_and_is_told_when_it_is_back(
    registry: EmbeddedRegistry, base: BaseModel, push: Push, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serve.announcement.HEARTBEAT_SECONDS", 0.05)
    one = push("demo")
    house = House(registry, base, tmp_path / "cache", Fickle(registry._database))
    read = house.catalogue.read

    def gone() -> None:
        raise Unavailable("The registry's database does not answer.")

    async def story() -> None:
        await until(registry.replicas.list)
        await house.promote(str(one))
        Fickle.away = True
        house.catalogue.read = gone  # type: ignore[method-assign,assignment]
        await until(lambda: house.catalogue.stale)
        two = await asyncio.to_thread(push, "demo")
        house.prefetch.want(two)  # its blobs can be away as well
        assert (await house.catalogue.resolve("demo@canary")).version == one
        outcomes = await house.promote(str(two), timeout=0.5)
        assert outcomes[0].state == "waiting"
        Fickle.away = False
        house.catalogue.read = read  # type: ignore[method-assign]
        moved = registry.aliases.list("demo")[0]
        assert (await waited(registry, moved, 30))[0].state == "serving"
        assert not house.catalogue.stale
        registry.replicas.remove(house.announcement.id)  # forgotten meanwhile: it comes back
        await until(registry.replicas.list)

    try:
        house.run(story)
    finally:
        Fickle.away = False


def test_what_is_pushed_or_aliased_is_on_the_disk_before_it_is_asked_for(
    house: House, registry: Registry, push: Push
) -> None:
    old, aliased = push("old"), push("aliased")
    registry.aliases.promote("aliased:1", "canary", actor="test")

    async def story() -> None:
        new = await asyncio.to_thread(push, "new")
        await until(lambda: new.digest in house.disk and aliased.digest in house.disk)
        assert old.digest not in house.disk
        registry.aliases.promote("old:1", "canary", actor="test")
        await until(lambda: old.digest in house.disk)

    house.run(story)


def test_prefetch_goes_on_after_a_pull_that_failed(registry: Registry, push: Push, tmp_path: Path) -> None:
    bad, good = push("demo"), push("demo")

    def pull(version: AdapterVersion, folder: Path) -> None:
        if version == bad:
            raise OSError("the share is away")
        registry.versions.pull(version, folder)

    disk = DiskCache(tmp_path / "cache", 1 << 30, pull)
    prefetch = Prefetch(disk)

    async def run() -> None:
        prefetch.want(bad)
        prefetch.want(good)
        running = asyncio.create_task(prefetch.run())
        await until(lambda: good.digest in disk)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running

    asyncio.run(run())


def test_pins_follow_their_alias(house: House, registry: Registry, base: BaseModel, push: Push, tmp_path: Path) -> None:
    one, two = push("demo"), push("demo")
    loaded: list[AdapterVersion] = []

    async def load(version: AdapterVersion) -> None:
        loaded.append(version)
        if version == two and loaded.count(two) == 1:
            raise AdapterRefused("not this time")

    async def story() -> None:
        replica = build_replica(options(base, tmp_path / "fleet", keys=False), registry)
        replica.access.close()
        fleet = replica.fleet
        residency = fleet.places[0].residency
        pins = Pins(("demo@canary", "unknown@prod"), house.catalogue, fleet, load)
        await pins.look()
        assert not loaded
        await house.promote("demo:1")
        await until(lambda: house.catalogue.serving)
        await pins.look()
        assert (loaded, residency.pinned) == ([one], frozenset([one.digest]))
        registry.aliases.promote("demo:2", "canary", actor="test")
        await until(lambda: house.catalogue.find("demo@canary").version == two)
        await pins.look()
        await pins.look()  # it rests after a failure
        assert (loaded, residency.pinned) == ([one, two], frozenset([two.digest]))

    house.run(story)
