"""Names and what they mean, over a real registry."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import serve.catalogue
from registry.base_model import BaseModel
from registry.errors import AdaptoryError, NotFound
from registry.store import Registry
from serve.catalogue import Catalogue
from serve.changes import Changes
from serve.errors import AdapterRefused, EngineAway
from serve.swap import Swaps
from tests.unit.serve.conftest import Push, tiny_base


def current(registry: Registry, base: BaseModel) -> Catalogue:
    catalogue = Catalogue(registry, base)
    catalogue.merge(catalogue.read())
    return catalogue


def followed(catalogue: Catalogue, story: Callable[[], Awaitable[None]]) -> None:
    """Run a story while the catalogue follows its registry."""

    async def run() -> None:
        following = asyncio.create_task(catalogue.follow())
        try:
            await story()
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    asyncio.run(run())


def test_every_way_to_name_a_version(registry: Registry, base: BaseModel, push: Push) -> None:
    one, two = push("demo"), push("demo")
    registry.aliases.promote("demo:2", "prod", actor="test", reason="test", force=True)
    registry.aliases.promote("demo:1", "canary", actor="test")
    catalogue = current(registry, base)
    named = {"demo": two, "demo@prod": two, "demo@canary": one, "demo:1": one, f"demo@{one.digest[:20]}": one}
    for model, version in named.items():
        assert catalogue.find(model).version == version
    assert catalogue.find("tiny").version is None
    assert catalogue.find("tiny").digest == base.fingerprint


def test_an_adapter_of_another_base_is_not_listed_and_says_so(registry: Registry, base: BaseModel, push: Push) -> None:
    push("mine")
    push("other", tiny_base("another"))
    catalogue = current(registry, base)
    assert [str(version) for version in catalogue.versions()] == ["mine:1"]
    with pytest.raises(NotFound, match="other:1 is an adapter of the base another; this server serves tiny"):
        catalogue.find("other:1")
    with pytest.raises(NotFound) as caught:
        catalogue.find("nothing")
    assert "other" not in caught.value.message


def test_an_unknown_name_hears_what_there_is_nearest_first(registry: Registry, base: BaseModel, push: Push) -> None:
    for name in ("apple", "support", "zebra"):
        push(name)
    catalogue = current(registry, base)
    with pytest.raises(NotFound, match=r"'suport' does not exist. There is support, tiny, apple, zebra"):
        catalogue.find("suport")
    with pytest.raises(NotFound, match=r"no alias prod yet. There is support:1"):
        catalogue.find("support")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text())
def test_no_text_is_a_model_by_accident_or_breaks_the_message(registry: Registry, base: BaseModel, text: str) -> None:
    catalogue = current(registry, base)
    if text != base.name:
        with pytest.raises(NotFound) as caught:
            catalogue.find(text)
        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 1200


def test_what_was_pushed_a_moment_ago_is_found(
    registry: Registry, base: BaseModel, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.catalogue, "LOOK_SECONDS", 60.0)  # however busy this machine is
    catalogue = current(registry, base)

    async def story() -> None:
        for _ in range(3):
            version = await asyncio.to_thread(push, "demo")
            assert (await catalogue.resolve(str(version))).version == version

    followed(catalogue, story)


def test_bogus_names_cost_few_looks_and_leave_nothing(registry: Registry, base: BaseModel, push: Push) -> None:
    push("demo")
    catalogue = current(registry, base)
    looks = 0
    read = catalogue.read

    def counted() -> object:
        nonlocal looks
        looks += 1
        return read()

    catalogue.read = counted  # type: ignore[method-assign,assignment]

    async def story() -> None:
        answers = [catalogue.resolve(f"bogus-{number}:1") for number in range(2000)]
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert all(isinstance(result, NotFound) for result in results)

    followed(catalogue, story)
    assert looks < 50
    assert catalogue.names == ["demo"]


def test_a_registry_that_goes_away_leaves_what_is_known(registry: Registry, base: BaseModel, push: Push) -> None:
    version = push("demo")
    catalogue = current(registry, base)

    def gone(*, fresh: bool) -> None:  # noqa: ARG001 - as the catalogue calls it
        raise OSError("the disk is away")

    catalogue.read = gone  # type: ignore[method-assign,assignment]

    async def story() -> None:
        await catalogue.look()
        assert catalogue.stale == "the disk is away"
        assert (await catalogue.resolve("demo:1")).version == version
        with pytest.raises(NotFound, match="The registry does not answer"):
            await catalogue.resolve("demo:2")

    followed(catalogue, story)


def test_a_registry_that_hangs_keeps_nobody(
    registry: Registry, base: BaseModel, push: Push, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.catalogue, "LOOK_SECONDS", 0.01)
    version = push("demo")
    catalogue = current(registry, base)
    answers = threading.Event()
    looks = 0
    read = catalogue.read

    def hanging(*, fresh: bool) -> Changes:
        nonlocal looks
        looks += 1
        assert answers.wait(30)
        return read(fresh=fresh)

    monkeypatch.setattr(catalogue, "read", hanging)

    async def story() -> None:
        try:
            pushed = await asyncio.to_thread(push, "demo")
            for _ in range(3):
                with pytest.raises(NotFound, match="The registry does not answer"):
                    await catalogue.resolve("demo:2")
                assert catalogue.stale == "it has said nothing for 0.01 s"
                monkeypatch.setattr(catalogue, "look", None)  # nobody looks again
            assert (await catalogue.resolve("demo:1")).version == version
            assert looks == 1
        finally:
            answers.set()
        while catalogue.stale:
            await asyncio.sleep(0.01)
        assert (await catalogue.resolve("demo:2")).version == pushed

    followed(catalogue, story)


@pytest.mark.parametrize("failure", [AdapterRefused("it is broken"), EngineAway("it starts")])
def test_an_alias_moves_only_to_what_can_serve(
    registry: Registry, base: BaseModel, push: Push, failure: AdaptoryError
) -> None:
    one, two = push("demo"), push("demo")
    registry.aliases.promote(str(one), "canary", actor="test")
    catalogue = current(registry, base)
    broken = True

    async def prepare(version: object, _instead_of: object) -> None:
        assert version == two
        if broken:
            raise failure

    async def story() -> None:
        nonlocal broken
        swaps = Swaps(catalogue, prepare)
        registry.aliases.promote(str(two), "canary", actor="test")
        await catalogue.look()
        while not swaps.failure("demo", "canary"):
            await asyncio.sleep(0.01)
        assert catalogue.find("demo@canary").version == one
        broken = False
        swaps.retry_failed()
        while catalogue.find("demo@canary").version != two:
            await asyncio.sleep(0.01)
        assert not swaps.failure("demo", "canary")

    followed(catalogue, story)


def test_a_swap_that_is_overtaken_does_not_flip(registry: Registry, base: BaseModel, push: Push) -> None:
    one, two = push("demo"), push("demo")
    registry.aliases.promote(str(one), "canary", actor="test")
    catalogue = current(registry, base)
    go_on = asyncio.Event()
    begun = asyncio.Event()

    async def prepare(version: object, _instead_of: object) -> None:
        assert version == two
        begun.set()
        await go_on.wait()

    async def story() -> None:
        swaps = Swaps(catalogue, prepare)
        registry.aliases.promote(str(two), "canary", actor="test")
        await begun.wait()
        registry.aliases.promote(str(one), "canary", actor="test")
        await catalogue.look()
        go_on.set()
        await catalogue.look()
        await catalogue.look()
        assert catalogue.find("demo@canary").version == one
        assert not swaps.failure("demo", "canary")

    followed(catalogue, story)


def test_marks_and_deletions_are_followed(registry: Registry, base: BaseModel, push: Push) -> None:
    for _ in range(2):
        push("demo")
    catalogue = current(registry, base)
    registry.marks.deprecate("demo:1", actor="test", reason="old")
    registry.deletions.mark("demo:2", actor="test")
    catalogue.merge(catalogue.read())
    assert catalogue.deprecated == {("demo", 1): "old"}
    assert catalogue.find("demo:1").version
    with pytest.raises(NotFound):
        catalogue.find("demo:2")
    registry.marks.undo("demo:1", actor="test")
    registry.deletions.restore("demo:2", actor="test")
    catalogue.merge(catalogue.read())
    assert catalogue.deprecated == {}
    assert catalogue.find("demo:2").version
