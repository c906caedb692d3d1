"""The load generator, in its own process, against a server that streams."""

import asyncio
import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.loader import Loader
from bench.plan import Ask, Done, Plan
from bench.process import free_port
from bench.relay import relay
from tests.unit.bench.conftest import BROKEN, MISSING, SILENT, FakeEngine


def ask(model: str = "word", tokens: int = 3, at: float = 0.0, target: str = "port") -> Ask:
    return Ask(target=target, model=model, prompt="Hi", tokens=tokens, at=at, key="secret")


def plan(engine: FakeEngine, *asks: Ask, workers: int = 1, repeat: bool = False, timeout: float = 30) -> Plan:
    targets = {"port": f"http://127.0.0.1:{engine.port}", "socket": f"unix:{engine.socket}"}
    return Plan(targets=targets, asks=asks, workers=workers, repeat=repeat, timeout=timeout, keep_text=True)


def carry_out(wanted: Plan) -> list[Done]:
    with Loader(wanted) as loader:
        return sorted(loader.finish(), key=lambda one: one.number)


@pytest.mark.parametrize(("workers", "chat"), [(0, True), (2, True), (2, False)])
def test_everything_is_asked_and_told(engine: FakeEngine, workers: int, chat: bool) -> None:
    asks = [ask(target=target, tokens=tokens) for target in ("port", "socket") for tokens in (1, 4)]
    done = carry_out(replace(plan(engine, *asks, workers=workers), chat=chat))
    assert [(one.number, one.target, one.tokens, one.text) for one in done] == [
        (0, "port", 1, "word"), (1, "port", 4, "word" * 4), (2, "socket", 1, "word"), (3, "socket", 4, "word" * 4)
    ]  # fmt: skip
    assert all(one.ok and one.first and one.start <= one.first <= one.end for one in done)
    assert set(engine.keys) == {"Bearer secret"}


def test_what_goes_wrong_is_said(engine: FakeEngine) -> None:
    missing, broken, silent = carry_out(plan(engine, ask(MISSING), ask(BROKEN), ask(SILENT), workers=3, timeout=2))
    assert (missing.status, missing.first, missing.ok) == (404, None, False)
    assert "no such model" in missing.error
    assert (broken.status, broken.ok) == (200, False)
    assert "it broke" in broken.error
    assert (silent.status, silent.first, silent.error) == (0, None, "TimeoutError")


def test_a_closed_loop_goes_on_until_it_is_stopped(engine: FakeEngine) -> None:
    with Loader(plan(engine, ask("one"), ask("two"), ask("three"), workers=3, repeat=True)) as loader:
        for name in itertools.islice(itertools.cycle(("one", "two", "three")), 9):
            assert loader.wait_for(lambda one, name=name: one.model == name, 30)  # type: ignore[misc]
        loader.stop()
        done = loader.finish()
    asked = Counter(one.model for one in done)
    assert set(asked) == {"one", "two", "three"}
    assert sum(asked.values()) == len(engine.questions)


def test_an_open_loop_keeps_its_times(engine: FakeEngine) -> None:
    first, second = carry_out(plan(engine, ask(at=0.0), ask(at=0.5), workers=0))
    assert second.start - first.start >= 0.49  # never earlier


def test_a_plan_survives_its_journey(engine: FakeEngine) -> None:
    wanted = plan(engine, ask(), ask("two", at=1.5))
    assert Plan.from_json(wanted.to_json()) == wanted


def test_the_relay_passes_everything_on(engine: FakeEngine) -> None:
    port = free_port()

    async def through() -> list[Done]:
        async with await relay(Path(engine.socket), port):
            wanted = Plan(targets={"port": f"http://127.0.0.1:{port}"}, asks=(ask(tokens=50),) * 4, workers=2)
            return await asyncio.to_thread(carry_out, wanted)

    assert [(one.ok, one.tokens) for one in asyncio.run(through())] == [(True, 50)] * 4
