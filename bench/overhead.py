"""Overhead: what the gateway costs beside the engine alone, and what LiteLLM's proxy costs, on the same engine.

Throughput: STREAMS streams at once, in rounds that take turns, so that drift falls on all alike. First token: one
request at a time, targets in turn, since two busy cores hide milliseconds; what 32 streams see stands beside it.
LiteLLM knows TCP only: it asks the engine through a relay, and is compared with the engine through that relay.
"""

import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench import peer
from bench.figures import first_token_seconds, percentile, tokens_per_second
from bench.gateway import STREAMS
from bench.loader import ROOT
from bench.part import Bench, Figures, failures
from bench.plan import Ask, Done, Plan
from bench.process import answers, free_port, running
from registry import console

COMPARED = (("", "gateway", "direct"), ("litellm_", "litellm", "relay"))
"""Prefix of the figures, what is measured, and the same engine without it."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is asked: rounds and tokens a stream of the throughput; single requests for each target."""

    rounds: int
    tokens: int
    singles: int


FULL = Sizes(rounds=3, tokens=32, singles=120)
QUICK = Sizes(rounds=1, tokens=8, singles=5)


def overhead(bench: Bench) -> Figures:
    """Figures of the gateway and, where it is installed, of LiteLLM."""
    sizes = QUICK if bench.quick else FULL
    with _targets(bench) as targets:
        _ask_one_by_one(bench, "Warming up", targets, singles=2)
        together: dict[str, list[Sequence[Done]]] = {name: [] for name in targets}
        for turn in range(sizes.rounds):
            for name in _rotated(list(targets), turn):
                title = f"{STREAMS} streams, {name}, round {turn + 1} of {sizes.rounds}"
                done = bench.ask(title, _together(targets, name, bench.workshop.base.name, turn, sizes.tokens))
                failures(title, done)
                together[name].append(done)
        single = _ask_one_by_one(bench, "First token, one request at a time", targets, sizes.singles)
    figures: dict[str, float | None] = {}
    for prefix, name, without in COMPARED:
        measured = name in targets
        figures |= {
            f"{prefix}{figure}": value if measured else None
            for figure, value in _compare(single, together, *((name, without) if measured else ("direct",) * 2)).items()
        }
    return figures


@contextmanager
def _targets(bench: Bench) -> Iterator[Mapping[str, str]]:
    """Everything that can be asked for the base, by name."""
    socket = bench.gateway.engine_socket
    targets = {"direct": f"unix:{socket}", "gateway": bench.gateway.url}
    with ExitStack() as stack:
        if peer.installed():
            work = bench.workshop.work
            port = free_port()
            relay = f"http://127.0.0.1:{port}"
            command = [sys.executable, "-m", "bench.relay", str(socket), str(port)]
            ready = f"{relay}/health"
            output = work / "relay.out"
            place = {"PYTHONPATH": str(ROOT)}
            stack.enter_context(running(command, environment=place, output=output, ready=lambda: answers(ready)))
            console.say("Starting LiteLLM's proxy ...")
            proxy = stack.enter_context(peer.litellm(relay, bench.workshop.base.name, work))
            targets |= {"relay": relay, "litellm": proxy}
        else:
            console.say(f"LiteLLM is not installed, so its figures are left out: {peer.INSTALL}")
        yield targets


def _together(targets: Mapping[str, str], name: str, model: str, turn: int, tokens: int) -> Plan:
    asks = tuple(
        Ask(target=name, model=model, prompt=f"Story {number} of {turn}", tokens=tokens) for number in range(STREAMS)
    )
    return Plan(targets={name: targets[name]}, asks=asks, workers=STREAMS)


def _ask_one_by_one(bench: Bench, title: str, targets: Mapping[str, str], singles: int) -> Sequence[Done]:
    model = bench.workshop.base.name
    asks = tuple(
        Ask(target=name, model=model, prompt=f"After {number}?", tokens=2)
        for number in range(singles)
        for name in _rotated(list(targets), number)
    )
    done = bench.ask(title, Plan(targets=targets, asks=asks, workers=1))
    failures(title, done)
    return done


def _compare(
    single: Sequence[Done], together: Mapping[str, Sequence[Sequence[Done]]], name: str, without: str
) -> dict[str, float]:
    first = {target: _first_ms([one for one in single if one.target == target]) for target in (name, without)}
    loaded = {target: _first_ms([one for done in together[target] for one in done]) for target in (name, without)}
    rates = {target: statistics.median(map(tokens_per_second, together[target])) for target in (name, without)}
    return {
        "throughput_ratio": rates[name] / rates[without] if rates[without] else 0.0,
        # Requests of one turn follow each other at once: their differences know nothing of drift.
        "first_token_ms_median": statistics.median(a - b for a, b in zip(first[name], first[without], strict=True)),
        "first_token_ms_p99": percentile(first[name], 99) - percentile(first[without], 99),
        "loaded_first_token_ms_median": statistics.median(loaded[name]) - statistics.median(loaded[without]),
        "tokens_per_second": rates[name],
        "direct_tokens_per_second": rates[without],
    }


def _first_ms(done: Sequence[Done]) -> list[float]:
    return [1000 * seconds for seconds in first_token_seconds(done, limit=150.0)]


def _rotated(names: Sequence[str], turn: int) -> Sequence[str]:
    place = turn % len(names)
    return [*names[place:], *names[:place]]
