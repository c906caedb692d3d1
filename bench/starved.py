"""Starved: two adapters hold both slots and always want more; how long does a third wait that is asked now and then?

Through the gateway, and on vLLM alone, which passes over a request whose adapter has no slot for as long as whoever has
the slots goes on asking.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.figures import first_token_seconds, percentile, tokens_per_second
from bench.loader import Loader
from bench.oversubscribed import LONGEST, TOKENS
from bench.part import Bench, Figures
from bench.plan import Ask, Done, Plan
from bench.workshop import WORDS

BUSY = ("busy-0", "busy-1")
RARE = "rare"
CLIENTS = 8
"""Of each busy adapter."""

FIRST = 10.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How often the rare adapter is asked, and seconds between."""

    requests: int
    every: float


FULL = Sizes(requests=8, every=20)
QUICK = Sizes(requests=2, every=5)


def starved(bench: Bench) -> Figures:
    """The rare adapter's first tokens, and what the busy ones were given."""
    sizes = QUICK if bench.quick else FULL
    for number, name in enumerate((*BUSY, RARE)):
        _, folder = bench.workshop.push(name, WORDS[number % 2])
        bench.gateway.load_in_engine(name, folder)
    ways = {"gateway": (bench.gateway.url, ":1"), "direct": (f"unix:{bench.gateway.engine_socket}", "")}
    waits, rates = {}, {}
    for way, (origin, version) in ways.items():
        rare, busy = _load(bench, sizes, way, origin, version)
        waits[way] = first_token_seconds(rare, LONGEST)
        rates[way] = tokens_per_second(busy)
    p99 = {way: percentile(seconds, 99) for way, seconds in waits.items()}
    return {
        "starved_gain": p99["direct"] / p99["gateway"],
        "starved_p99_s": p99["gateway"],
        "starved_p99_direct_s": p99["direct"],
        "starved_requests": len(waits["gateway"]),
        "starved_unanswered_direct": sum(seconds >= LONGEST for seconds in waits["direct"]),
        "busy_tokens_per_second": rates["gateway"],
        "busy_direct_tokens_per_second": rates["direct"],
    }


def _load(bench: Bench, sizes: Sizes, way: str, origin: str, version: str) -> tuple[Sequence[Done], Sequence[Done]]:
    """What came of the rare adapter's requests and of the busy ones', which go on until the last of those has ended."""
    targets = {way: origin}
    crowd = tuple(
        Ask(target=way, model=f"{BUSY[number % 2]}{version}", prompt=f"Say {number}:", tokens=TOKENS[number % 3])
        for number in range(2 * CLIENTS)
    )
    now_and_then = tuple(
        Ask(target=way, model=f"{RARE}{version}", prompt="Hello", tokens=8, at=FIRST + number * sizes.every)
        for number in range(sizes.requests)
    )
    busy = Plan(targets=targets, asks=crowd, workers=len(crowd), repeat=True, timeout=LONGEST, chat=False)
    rare = Plan(targets=targets, asks=now_and_then, timeout=LONGEST, chat=False)
    with bench.loading(f"Two busy adapters and a rare one, {way}", busy) as loader:
        with Loader(rare) as asker:
            asked = asker.finish()
        loader.stop()
        return asked, loader.finish()
