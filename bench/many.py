"""Many: 500 registered adapters with Zipf popularity for minutes; memory and file descriptors have to stay flat."""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from bench.figures import first_token_seconds, percentile, slope_per_minute
from bench.loader import Loader
from bench.part import Bench, Figures, failures
from bench.plan import Ask, Done, Plan
from bench.popularity import picks
from bench.workshop import WORDS
from registry import console

WORKERS = 8
TOKENS = 4
PICKS = 20_000
MIB = 1 << 20
SAMPLE_SECONDS = 2.0
SETTLED = 0.33
"""Share of the time that is left out of the slopes: caches fill in it."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Adapters, and minutes where the command line does not say."""

    adapters: int
    minutes: float


FULL = Sizes(adapters=500, minutes=3)
QUICK = Sizes(adapters=40, minutes=0.4)


@dataclass(frozen=True, slots=True)
class Sample:
    """The gateway's process at one moment: seconds, bytes, file descriptors; and the bytes of the engine's processes.

    The engine's memory is the sum of its processes' own (USS would cost a second of a core; RSS counts shared pages
    more than once, which does not hurt a slope).
    """

    at: float
    memory: int
    files: int
    engine: int


def many(bench: Bench) -> Figures:
    """Errors, growth and what residency did."""
    sizes = QUICK if bench.quick else FULL
    names = _push(bench, sizes.adapters)
    asks = tuple(
        Ask(target="gateway", model=name, prompt=f"Say {number}:", tokens=TOKENS)
        for number, name in enumerate(picks(names, PICKS))
    )
    minutes = bench.minutes or sizes.minutes
    targets = {"gateway": bench.gateway.url}
    plan = Plan(targets=targets, asks=asks, workers=WORKERS, repeat=True, timeout=600, keep_text=True, chat=False)
    before = _work_done(bench)
    with bench.loading(f"{sizes.adapters} adapters for {minutes:g} min", plan) as loader:
        samples = _watch(bench, loader, 60 * minutes)
        done = loader.finish()
    loads, evictions = (after - early for after, early in zip(_work_done(bench), before, strict=True))
    return _figures(samples, done) | {
        "many_errors": failures("Many", done),
        "many_wrong": wrong(done, names),
        "many_loads": loads,
        "many_evictions": evictions,
    }


def _push(bench: Bench, count: int) -> list[str]:
    """Push so many adapters. Returns their references."""
    with console.progress() as bar:
        numbers = bar.track(range(count), description=f"Pushing {count} adapters")
        return [str(bench.workshop.push(f"many-{number:03}", WORDS[number % 2])[0]) for number in numbers]


def _work_done(bench: Bench) -> tuple[float, float]:
    return bench.gateway.total("adaptory_load_seconds_count"), bench.gateway.total("adaptory_evictions_total")


def _watch(bench: Bench, loader: Loader, seconds: float) -> Sequence[Sample]:
    process, samples = bench.gateway.process, []
    children = process.children(recursive=True)
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        engine = 0
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                engine += child.memory_info().rss
        samples.append(Sample(now, process.memory_info().rss, process.num_fds(), engine))
        time.sleep(min(SAMPLE_SECONDS, max(0.0, end - now)))
    loader.stop()
    return samples


def _figures(samples: Sequence[Sample], done: Sequence[Done]) -> dict[str, float | None]:
    settled = samples[int(len(samples) * SETTLED) :]
    times = [sample.at for sample in settled]
    first, last = settled[0], samples[-1]
    waits = first_token_seconds(done, limit=600)
    return {
        "many_requests": len(done),
        "many_models": len({one.model for one in done}),
        "many_rss_mib_start": first.memory / MIB,
        "many_rss_mib_end": last.memory / MIB,
        "many_rss_mib_per_minute": slope_per_minute(times, [sample.memory / MIB for sample in settled]),
        "many_engine_rss_mib_per_minute": slope_per_minute(times, [sample.engine / MIB for sample in settled]),
        "many_files_start": first.files,
        "many_files_end": last.files,
        "many_first_token_s_median": percentile(waits, 50),
        "many_first_token_s_p99": percentile(waits, 99),
    }


def wrong(done: Sequence[Done], names: Sequence[str]) -> int:
    """Answers that another adapter must have given: the word is not the one that the adapter says."""
    words = {name: WORDS[number % 2] for number, name in enumerate(names)}
    return sum(one.ok and one.text != words[one.model] * TOKENS for one in done)
