"""What each part of the benchmark is given, and what it hands back."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bench.gateway import Gateway
from bench.loader import Loader
from bench.plan import Done, Plan
from bench.workshop import Workshop
from registry import console

Figures = Mapping[str, float | None]
"""Name -> value; None where it could not be measured."""


@dataclass(frozen=True, slots=True)
class Bench:
    """A server with an engine, and where its adapters come from.

    Attributes:
        workshop: makes adapters.
        gateway: the server.
        quick: sizes for a smoke test.
        minutes: how long ``many`` takes.
    """

    workshop: Workshop
    gateway: Gateway
    quick: bool
    minutes: float

    def ask(self, title: str, plan: Plan) -> Sequence[Done]:
        """Carry out a plan, with its progress on the terminal."""
        with self.loading(title, plan, total=len(plan.asks)) as loader:
            return loader.finish()

    @contextmanager
    def loading(self, title: str, plan: Plan, total: int | None = None) -> Iterator[Loader]:
        """A load under way, with its progress on the terminal."""
        with console.progress() as bar:
            if bar.disable:
                console.say(f"{title} ...")
            task = bar.add_task(title, total=total)
            with Loader(plan, lambda: bar.advance(task)) as loader:
                yield loader


def failures(title: str, done: Sequence[Done]) -> int:
    """How many requests failed; says the first reason."""
    failed = [one for one in done if not one.ok]
    if failed:
        console.say(f"{title}: {len(failed)} of {len(done)} requests failed, the first with {failed[0].error}")
    return len(failed)
