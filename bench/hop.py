"""Hop: what the way through the gateway costs, without what the engine computes.

A first token of a model on a CPU takes hundreds of milliseconds, and the slowest in a hundred vary by a hundred: more
than could be told from a gateway's. So here the engine is asked for an answer of no tokens, which it refuses as soon as
it has read the request; the gateway does all that it does for an answer up to the first byte of it.
"""

import statistics
from dataclasses import dataclass

from bench.figures import percentile
from bench.part import Bench, Figures
from bench.plan import Ask, Plan

REFUSED = 400


@dataclass(frozen=True, slots=True)
class Sizes:
    """Requests each way."""

    requests: int


FULL = Sizes(requests=2000)
QUICK = Sizes(requests=20)


def hop(bench: Bench) -> Figures:
    """Milliseconds more through the gateway than to the engine directly; one request at a time, ways in turn."""
    sizes = QUICK if bench.quick else FULL
    targets = {"direct": f"unix:{bench.gateway.engine_socket}", "gateway": bench.gateway.url}
    asks = tuple(
        Ask(target=way, model=bench.workshop.base.name, prompt=f"After {number}?", tokens=0)
        for number in range(sizes.requests)
        for way in targets
    )
    done = bench.ask("Requests that the engine refuses", Plan(targets=targets, asks=asks, workers=1))
    if strange := [one for one in done if one.status != REFUSED]:
        raise RuntimeError(f"{len(strange)} were not refused, the first has {strange[0].status} {strange[0].error}")
    ms = {way: [1000 * (one.end - one.start) for one in done if one.target == way] for way in targets}
    return {
        "hop_ms_median": statistics.median(a - b for a, b in zip(ms["gateway"], ms["direct"], strict=True)),
        "hop_ms_p99": percentile(ms["gateway"], 99) - percentile(ms["direct"], 99),
        "hop_direct_ms_median": statistics.median(ms["direct"]),
        "hop_direct_ms_p99": percentile(ms["direct"], 99),
    }
