"""Fairness: four keys of equal weight that always want more, one of them six times as much as the others."""

import json
import os
import subprocess
import time
from dataclasses import dataclass

from bench.figures import jain, tokens_between
from bench.gateway import ADAPTORY, gateway
from bench.part import Bench, Figures, failures
from bench.plan import Ask, Plan
from bench.workshop import WORDS, Workshop

KEYS = ("flood", "one", "two", "three")
STREAMS = {"flood": 72, "one": 12, "two": 12, "three": 12}
"""Streams that each key keeps open; a quarter of the engine is 8, so everyone always has some that wait."""

TOKENS = 16


@dataclass(frozen=True, slots=True)
class Sizes:
    """Seconds before and of the window in which tokens are counted."""

    before: float
    window: float


FULL = Sizes(before=20, window=120)
QUICK = Sizes(before=5, window=15)


def fairness(bench: Bench) -> Figures:
    """Jain's index over what each key was served, and each key's tokens."""
    sizes = QUICK if bench.quick else FULL
    models = [str(bench.workshop.push(f"shared-{number}", word)[0]) for number, word in enumerate(WORDS)]
    secrets = {key: _secret(bench.workshop, key) for key in KEYS}
    asks = tuple(
        Ask(
            target="gateway",
            model=models[stream % len(models)],
            prompt=f"Say {stream}:",
            tokens=TOKENS,
            key=secrets[key],
        )
        for key in KEYS
        for stream in range(STREAMS[key])
    )
    shop = bench.workshop
    # Another server: the one of the other parts takes no keys, and so would not know one from the other.
    with gateway(shop.base.name, shop.environment, shop.work, "--keys", "required") as keyed:
        plan = Plan(targets={"gateway": keyed.url}, asks=asks, workers=len(asks), repeat=True, timeout=600, chat=False)
        with bench.loading(f"A flood of one key for {sizes.before + sizes.window:.0f} s", plan) as loader:
            begin = time.monotonic() + sizes.before
            time.sleep(sizes.before + sizes.window)
            loader.stop()
            done = loader.finish()
    failed = failures("Fairness", done)
    end = begin + sizes.window
    served = {key: tokens_between((one for one in done if one.key == secrets[key]), begin, end) for key in KEYS}
    return {
        "jain": jain(list(served.values())),
        "fairness_failed": failed,
        **{f"tokens_{key}": tokens for key, tokens in served.items()},
    }


def _secret(workshop: Workshop, name: str) -> str:
    command = [str(ADAPTORY.with_name("registry")), "key", "create", name, "--scope", "infer", "--json"]
    done = subprocess.run(command, env=os.environ | workshop.environment, check=True, capture_output=True)
    return str(json.loads(done.stdout)["secret"])
