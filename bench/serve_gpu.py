"""Many adapters over one NF4 base on a GPU: through the gateway beside the same engine asked directly, in one run.

``python -m bench.serve_gpu WORK --push`` pushes the adapters that ``bench.large_model`` wrote to WORK; then
``python -m bench.serve_gpu WORK --json FILE`` starts the server and measures. A burst is 1,024 requests sent at once,
about 256 tokens in and 128 out; "steady" is 1,024 clients that each ask three times. The popularity of 32 adapters is
Pareto's, shape 0.8: the first has about 43 % of the requests. ``--profile FOLDER`` profiles some steps with 8 adapters
at the end and says where their time went (``bench.engine_steps``).
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from bench import engine_steps
from bench.figures import first_token_seconds, percentile, tokens_per_second
from bench.loader import Loader
from bench.plan import Ask, Done, Plan
from bench.process import answers, free_port, running

BASE = "llama-8b-shape"
PUSHERS = 6
REQUESTS = 1024
STEADY = 3
NUMBERS_IN = 60  # of three digits: about 256 tokens, with the chat template
TOKENS_OUT = 128
ADAPTERS = 32
SLOTS = 8
LONGEST = 550.0
PROFILED = 272  # requests: a full batch and a few
PROFILE = {
    "profiler": "torch",
    "torch_profiler_with_stack": False,
    "ignore_frontend": True,
    "max_iterations": 16,  # the prompts of a full batch, and some steps after them
}
OWN = (sys.executable, "-c")
SERVE = (
    *("--base", BASE, "--slots", str(SLOTS), "--host-adapters", "40", "--max-lora-rank", "16"),
    *("--context", "2048", "--max-sequences", "256", "--queue", "4096"),
    *("--engine-arg=--gpu-memory-utilization=0.85", "--engine-arg=--no-enable-prefix-caching"),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One load's figures: tokens a second, and seconds to the first token of the median, of 1 % and of the last."""

    load: str
    target: str
    tokens_per_second: float
    first_median: float
    first_p99: float
    first_last: float
    failed: int


def command(name: str, *words: str) -> list[str]:
    """A command of ours, where no console scripts are installed."""
    module, function = ("adaptory", "main") if name == "adaptory" else ("registry.cli", "registry")
    return [*OWN, f"from {module} import {function}; {function}()", *words]


def push(work: Path) -> None:
    """Every adapter; what was pushed before stays as it is."""

    def push_one(number: int) -> None:
        folder, name = str(work / "adapters" / str(number)), f"a{number}"
        words = command("registry", "push", folder, name, "--base", BASE, "--json")
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)

    push_one(0)  # makes the registry
    with ThreadPoolExecutor(PUSHERS) as pool:
        list(pool.map(push_one, range(1, ADAPTERS)))


def loads(steady: bool) -> dict[str, list[int | None]]:
    """Name of a load -> the adapter of each request, None for the base."""
    draw = random.Random(1)  # noqa: S311 - a load, no secret
    skewed: list[int | None] = [min(ADAPTERS - 1, int(draw.paretovariate(0.8)) - 1) for _ in range(REQUESTS * STEADY)]
    bursts: dict[str, list[int | None]] = {
        "base": [None] * REQUESTS,
        "8 adapters": [number % 8 for number in range(REQUESTS)],
        "32 adapters, Pareto": skewed[:REQUESTS],
    }
    return bursts | ({"32 adapters, Pareto, steady": skewed} if steady else {})


def measure(load: str, target: str, origin: str, models: Sequence[str]) -> Measured:
    """Send as many as fit at once and wait for the last answer."""
    draw = random.Random(load)  # noqa: S311 - a load, no secret
    asks = tuple(Ask(target=target, model=model, prompt=numbers(draw), tokens=TOKENS_OUT) for model in models)
    with Loader(Plan(targets={target: origin}, asks=asks, workers=min(len(asks), REQUESTS), timeout=LONGEST)) as loader:
        done: Sequence[Done] = loader.finish()
    first = first_token_seconds(done, LONGEST)
    failed = [one for one in done if not one.ok]
    if failed:
        print(f"{load}, {target}: {len(failed)} failed: {failed[0].status} {failed[0].error}", flush=True)
    return Measured(
        load=load,
        target=target,
        tokens_per_second=round(tokens_per_second(done)),
        first_median=round(percentile(first, 50), 2),
        first_p99=round(percentile(first, 99), 2),
        first_last=round(max(first), 2),
        failed=len(failed),
    )


def engine_socket(server: psutil.Process) -> str:
    """Where the engine itself listens."""
    commands = [" ".join(child.cmdline()) for child in server.children(recursive=True)]
    (found,) = {match[1] for line in commands if (match := re.search(r"--uds (\S+)", line))}
    return f"unix:{found}"


def run(work: Path, further: Sequence[str], *, rounds: int, steady: bool, profile: Path | None) -> list[Measured]:
    """Start the server, load every adapter, and measure each load on both ways."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    serve = command("adaptory", "serve", "--port", str(port), *SERVE, *further)
    with running(serve, environment={}, output=work / "serve.out", ready=lambda: answers(f"{url}/readyz")) as process:
        origins = {"gateway": url, "engine": engine_socket(psutil.Process(process.pid))}
        listed = httpx.get(f"{url}/v1/models").json()["data"]
        in_engine = {entry["id"]: entry["adaptory"]["digest"].replace(":", "-") for entry in listed}
        del in_engine[BASE]
        warm_up(url)
        results = []
        for _ in range(rounds):
            for load, adapters in loads(steady).items():
                for target, origin in origins.items():
                    refs = [BASE if number is None else f"a{number}:1" for number in adapters]
                    models = refs if target == "gateway" else [in_engine.get(ref, ref) for ref in refs]
                    results.append(measure(load, target, origin, models))
                    print(results[-1], flush=True)
        if profile:
            take_profile(url, origins["engine"], profile)
    return results


def warm_up(url: str) -> None:
    """Load everything; Triton compiles the LoRA kernels' launches for long prompts when it meets the first."""
    for models in ([BASE] * 256, [f"a{n}:1" for n in range(ADAPTERS)], [f"a{n % 8}:1" for n in range(448)]):
        measure("warm-up", "gateway", url, models)


def take_profile(url: str, engine: str, folder: Path) -> None:
    """Profile the engine's next steps with 8 adapters, and print them."""
    transport = httpx.HTTPTransport(uds=engine.removeprefix("unix:"))
    with httpx.Client(transport=transport, base_url="http://engine", timeout=120) as client:
        client.post("/start_profile").raise_for_status()
        measure("profile", "gateway", url, [f"a{number % 8}:1" for number in range(PROFILED)])
        client.post("/stop_profile").raise_for_status()
    for trace in sorted(folder.glob("*.json.gz")):
        engine_steps.show(trace)


def numbers(draw: random.Random) -> str:
    """A prompt."""
    return " ".join(str(draw.randrange(100, 1000)) for _ in range(NUMBERS_IN))


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--push", action="store_true", help="Push the adapters, and end.")
    parser.add_argument("--profile", type=Path, help="Folder for a profile of some of the engine's steps.")
    parser.add_argument("--steady", action="store_true", help="Measure the steady load too.")
    parser.add_argument("--engine-arg", action="append", default=[], help="For vLLM; may be repeated.")
    options = parser.parse_args()
    os.environ["ADAPTORY_HOME"] = str(options.work / "home")
    if options.push:
        began = time.monotonic()
        push(options.work)
        print(f"{ADAPTERS} adapters pushed in {time.monotonic() - began:.0f} s", flush=True)
        return
    further = [f"--engine-arg={argument}" for argument in options.engine_arg]
    if options.profile:
        config = PROFILE | {"torch_profiler_dir": str(options.profile.absolute())}
        further.append(f"--engine-arg=--profiler-config={json.dumps(config)}")
    results = run(options.work, further, rounds=options.rounds, steady=options.steady, profile=options.profile)
    table = Table(*(field.name for field in fields(Measured)), title="1,024 requests at once")
    for one in results:
        table.add_row(*map(str, astuple(one)))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(list(map(asdict, results)), indent=2), encoding="utf-8")


if __name__ == "__main__":
    main()
