"""Oversubscribed: eight adapters on two slots, through the gateway and on vLLM alone, with the very same arrivals."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.figures import first_token_seconds, percentile, tokens_per_second
from bench.gateway import STREAMS
from bench.part import Bench, Figures, failures
from bench.plan import Ask, Done, Plan
from bench.popularity import SEED, arrivals, picks
from bench.workshop import WORDS
from registry import console

ADAPTERS = 8
LOAD = 0.8
TOKENS = (8, 16, 32)
MEAN_TOKENS = sum(TOKENS) / len(TOKENS)
LONGEST = 150.0
"""Seconds; a request that has no answer then counts as if its first token had come then."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Requests that measure the capacity, and seconds of arrivals."""

    capacity: int
    seconds: float


FULL = Sizes(capacity=64, seconds=400)
QUICK = Sizes(capacity=16, seconds=8)


def oversubscribed(bench: Bench) -> Figures:
    """Throughput and waiting of both."""
    sizes = QUICK if bench.quick else FULL
    names = [f"crowd-{number}" for number in range(ADAPTERS)]
    for number, name in enumerate(names):
        _, folder = bench.workshop.push(name, WORDS[number % 2])
        bench.gateway.load_in_engine(name, folder)
    targets = {"gateway": bench.gateway.url, "direct": f"unix:{bench.gateway.engine_socket}"}
    plan = Plan(targets=targets, asks=(), timeout=LONGEST, chat=False)

    wanted = _asks(names, [0.0] * sizes.capacity)
    capacity = tokens_per_second(bench.ask("Capacity of vLLM alone", replace(plan, asks=wanted, workers=STREAMS)))
    console.say(f"{capacity:.1f} tokens/s at most; {LOAD:.0%} of it arrives.")
    timed = _asks(names, arrivals(LOAD * capacity / MEAN_TOKENS, sizes.seconds))
    every = tuple(Ask(target="gateway", model=f"{name}:1", prompt="Hello", tokens=2) for name in names)
    bench.ask("Loading the adapters", replace(plan, asks=every, workers=1))
    ours = tuple(replace(ask, target="gateway", model=f"{ask.model}:1") for ask in timed)
    done = {
        "gateway": bench.ask("Through the gateway", replace(plan, asks=ours)),
        "direct": bench.ask("vLLM alone", replace(plan, asks=timed)),
    }
    for name, requests in done.items():
        failures(name, requests)
    return _figures(done, names, capacity)


def _asks(names: Sequence[str], times: Sequence[float]) -> tuple[Ask, ...]:
    """Requests at these times, for adapters by popularity, with answers of mixed length."""
    lengths = random.Random(SEED).choices(TOKENS, k=len(times))  # noqa: S311 - a load, no secret
    return tuple(
        Ask(target="direct", model=name, prompt=f"Say {number}:", tokens=tokens, at=at)
        for number, (name, tokens, at) in enumerate(zip(picks(names, len(times)), lengths, times, strict=True))
    )


def _figures(done: Mapping[str, Sequence[Done]], names: Sequence[str], capacity: float) -> dict[str, float | None]:
    waits = {target: waits_by_adapter(requests) for target, requests in done.items()}
    rates = {target: tokens_per_second(requests) for target, requests in done.items()}
    rare = next(name for name in reversed(names) if name in waits["direct"])
    p99 = {target: percentile(waits[target][rare], 99) for target in waits}
    return {
        "oversubscribed_throughput_ratio": rates["gateway"] / rates["direct"] if rates["direct"] else None,
        "rare_p99_gain": p99["direct"] / p99["gateway"],
        "rare_p99_s": p99["gateway"],
        "rare_p99_direct_s": p99["direct"],
        "rare_requests": len(waits["direct"][rare]),
        "worst_p99_s": max(percentile(values, 99) for values in waits["gateway"].values()),
        "worst_p99_direct_s": max(percentile(values, 99) for values in waits["direct"].values()),
        "oversubscribed_tokens_per_second": rates["gateway"],
        "oversubscribed_direct_tokens_per_second": rates["direct"],
        "capacity_tokens_per_second": capacity,
    }


def waits_by_adapter(done: Sequence[Done]) -> dict[str, list[float]]:
    """Seconds to the first token of each request, by the adapter's name without its number."""
    waits: dict[str, list[float]] = {}
    for one in done:
        waits.setdefault(one.model.partition(":")[0], []).extend(first_token_seconds([one], LONGEST))
    return waits
