"""Swap: promotions back and forth under constant load. No request may fail, and no stream may hold two versions."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.loader import Loader
from bench.part import Bench, Figures, failures
from bench.plan import Ask, Done, Plan
from bench.workshop import WORDS
from registry import console
from registry.version import AdapterVersion

NAME = "flip"
PROMPTS = 4
TOKENS = 8
EVERY = 0.5
"""Seconds from one request to the next, whatever becomes of them: about a third of what two cores compute. Clients that
wait for their answers would all ask at once, every few seconds, and nobody in between would see what a name says."""

HOUR = 3600.0
LONGEST = 60.0
"""Seconds to wait for a promotion's first token; longer counts as this long."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How often the name moves."""

    promotions: int


FULL = Sizes(promotions=200)
QUICK = Sizes(promotions=6)


def swap(bench: Bench) -> Figures:
    """What clients saw of it."""
    sizes = QUICK if bench.quick else FULL
    versions = [bench.workshop.push(NAME, word)[0] for word in WORDS]
    bench.workshop.promote(versions[0])
    asks = tuple(
        Ask(target="gateway", model=NAME, prompt=f"Say {number % PROMPTS}:", tokens=TOKENS, at=number * EVERY)
        for number in range(round(HOUR / EVERY))
    )
    plan = Plan(targets={"gateway": bench.gateway.url}, asks=asks, keep_text=True, chat=False)
    seconds = []
    with bench.loading(f"{sizes.promotions} promotions under load", plan) as loader:
        loader.wait_for(_says(WORDS[0], time.monotonic()), LONGEST)
        for count in range(1, sizes.promotions + 1):
            seconds.append(_promote(bench, loader, versions[count % 2], WORDS[count % 2]))
            if count % 20 == 0:
                console.say(f"  {count} promotions, median {statistics.median(seconds):.2f} s")
        loader.stop()
        done = loader.finish()
    return {
        "swap_failed": failures("Swap", done),
        "swap_mixed": sum(mixed(one.text) for one in done),
        "swap_median_s": statistics.median(seconds),
        "swap_max_s": max(seconds),
        "swap_promotions": len(seconds),
        "swap_requests": len(done),
    }


def _promote(bench: Bench, loader: Loader, version: AdapterVersion, word: str) -> float:
    """Seconds from asking for the promotion to the first token of the new version, at whichever client it came."""
    began = time.monotonic()
    bench.workshop.promote(version)
    found = loader.wait_for(_says(word, began), LONGEST)
    return found.first - began if found and found.first else LONGEST


def _says(word: str, since: float) -> Callable[[Done], bool]:
    """Whether a request that was sent after ``since`` was answered with the word."""
    return lambda one: one.ok and one.start > since and one.text.startswith(word)


def mixed(text: str) -> bool:
    """Whether an answer holds the words of two versions."""
    return sum(word in text for word in WORDS) > 1
