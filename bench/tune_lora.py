"""Find the fastest launches of vLLM's LoRA kernels on this GPU, and write them in the form that vLLM reads.

``python -m bench.tune_lora OUT`` tries launches (tile sizes, splits, warps, stages) of ``lora_shrink`` and
``lora_expand`` for the linear layers of a Llama 3.1 8B and each number of tokens in a step, proves that the fastest
gives the same numbers as vLLM's own, and writes ``OUT/<GPU>_SHRINK.json`` and ``OUT/<GPU>_EXPAND_TRUE.json``.
``VLLM_TUNED_CONFIG_FOLDER=OUT`` makes vLLM use them (``vllm/lora/ops/triton_ops/utils.py``, 0.26 and 0.32), and
``adaptory serve`` has its engine use those in ``serve/engine/lora_kernels``. With ``VLLM_LORA_ENABLE_DUAL_STREAM=1``
vLLM looks for ``<GPU>_EXPAND_FALSE.json`` instead of the second.

Each launch is timed in a CUDA graph of calls that take the weights of another layer each, as a model does: one layer's
weights alone would stay in the cache.
"""

import argparse
import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

SLOTS = 8
LAYERS = 16  # calls in a graph, each with weights of its own
REPEATS = 4
TOKENS = (16, 64, 128, 256, 512, 2048, 4096, 8192)
RANKS = (16, 64)
COMPILERS = 14
TOLERANCE = 0.05
MOST_SLICES = 8
"""vLLM fails where its file lacks a number of slices, and some models have layers of more than are tuned here."""

Launch = dict[str, int | None]


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer, or several that share their input: widths of the input and of each output."""

    wide: int
    outputs: tuple[int, ...]


LINEARS = (
    Linear(4096, (4096, 1024, 1024)),
    Linear(4096, (4096,)),
    Linear(4096, (14336, 14336)),
    Linear(14336, (4096,)),
)

SLICES = tuple(Linear(4096, (width,)) for width in (1024, 4096, 14336))
"""What expand is called for: ``serve.engine.lora_kernels.sliced`` calls it once for each slice of a layer."""


@dataclass(frozen=True, slots=True)
class Case:
    """What a kernel is asked to do: ``tokens`` rows, spread over SLOTS adapters of one rank."""

    op: str
    linear: Linear
    rank: int
    tokens: int

    @property
    def hidden(self) -> int:
        """The width that vLLM looks the launch up by."""
        return self.linear.wide if self.op == "shrink" else max(self.linear.outputs)

    @property
    def keys(self) -> list[str]:
        """The path of this case in vLLM's file: adapters, slices, tokens, k, n."""
        inner = (self.hidden, self.rank) if self.op == "shrink" else (self.rank, self.hidden)
        return [str(key) for key in (SLOTS + 1, len(self.linear.outputs), self.tokens, *inner)]


def launches(case: Case) -> Iterator[Launch]:
    """What is worth trying."""
    small = case.tokens <= 512
    rows = (16, 32) if small else (32, 64, 128)
    if case.op == "shrink":
        splits = (1, 4, 8, 16, 32, 64) if small else (1, 2, 4, 8)
        for m, k, split, stages in itertools.product(rows, (64, 128, 256), splits, (2, 4)):
            if k * split <= case.linear.wide:
                yield _launch(m, min(case.rank, 32), k, stages, warps=4, split_k=split, group_size_m=8)
        return
    for m, n, k, warps in itertools.product(rows, (64, 128, 256), sorted({min(case.rank, 32), case.rank}), (4, 8)):
        yield _launch(m, n, k, 2, warps=warps)


def _launch(m: int, n: int, k: int, stages: int, *, warps: int, **more: int) -> Launch:
    sizes: Launch = {"block_m": m, "block_n": n, "block_k": k, "num_stages": stages, "num_warps": warps}
    return sizes | more | {"num_ctas": 1, "max_nreg": None}


class Kernel:
    """One case with its tensors on the GPU."""

    def __init__(self, case: Case, layers: int) -> None:
        import torch
        from vllm.lora.ops.triton_ops import lora_kernel_metadata

        generator = torch.Generator("cuda").manual_seed(0)

        def normal(*shape: int, dtype: Any = torch.bfloat16) -> Any:
            return torch.randn(*shape, device="cuda", dtype=dtype, generator=generator)

        self.case = case
        mapping = torch.randint(0, SLOTS, (case.tokens,), generator=torch.Generator().manual_seed(0)).cuda()
        meta = lora_kernel_metadata.LoRAKernelMeta.make(SLOTS, case.tokens, "cuda")
        meta.prepare_tensors(mapping)
        self.meta = meta.meta_args(case.tokens, specialize_active_lora=False)
        slices, wide = case.linear.outputs, case.linear.wide
        if case.op == "shrink":
            self.inputs = normal(case.tokens, wide)
            self.weights = [[normal(SLOTS, 1, case.rank, wide) for _ in slices] for _ in range(layers)]
            self.output = torch.zeros(len(slices), case.tokens, case.rank, device="cuda", dtype=torch.float32)
        else:
            self.inputs = normal(len(slices), case.tokens, case.rank, dtype=torch.float32)
            self.weights = [[normal(SLOTS, 1, width, case.rank) for width in slices] for _ in range(layers)]
            self.output = torch.zeros(case.tokens, sum(slices), device="cuda", dtype=torch.bfloat16)
        for layer in range(layers):
            self.call(None, layer)  # vLLM keeps pointers of weights that it has seen; a graph cannot learn them

    def call(self, launch: Launch | None, layer: int = 0) -> None:
        """Run the kernel once; None means vLLM's own launch."""
        from vllm.lora.ops.triton_ops import lora_expand_op, lora_shrink_op

        module: Any = lora_shrink_op if self.case.op == "shrink" else lora_expand_op
        own = module.get_lora_op_configs
        if launch is not None:
            module.get_lora_op_configs = lambda *_args, **_named: launch
        try:
            if self.case.op == "shrink":
                module._lora_shrink(self.inputs, self.weights[layer], self.output, *self.meta, 1.0)
            else:
                module._lora_expand(self.inputs, self.weights[layer], self.output, *self.meta, add_inputs=True)
        finally:
            module.get_lora_op_configs = own

    def answer(self, launch: Launch | None) -> Any:
        """What one call gives, from zero."""
        self.output.zero_()
        self.call(launch)
        return self.output.float().clone()

    def seconds(self, launch: Launch | None) -> float:
        """Time of one call, seconds."""
        return self.time(lambda layer: self.call(launch, layer))

    def time(self, call: Callable[[int], None]) -> float:
        """Time of one call, which is given the layer, inside a CUDA graph: the best of some, seconds."""
        import torch

        call(0)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for layer in range(len(self.weights)):
                call(layer)
        best = math.inf
        for _ in range(REPEATS):
            began, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call] # torch's own lack
            began.record()
            graph.replay()
            ended.record()
            ended.synchronize()
            best = min(best, began.elapsed_time(ended) / 1e3 / len(self.weights))
        return best


def compile_share(share: int) -> int:
    """Compile what this process's share is, into Triton's cache on disk; how many failed."""
    failed = 0
    for number, (case, launch) in enumerate(_distinct()):
        if number % COMPILERS == share:
            try:
                Kernel(case, 1).call(launch)
            except Exception:  # noqa: BLE001 - Triton refuses a launch that this GPU has no room for, in several ways
                failed += 1
    return failed


def _distinct() -> list[tuple[Case, Launch]]:
    """One case for each program that Triton has to compile."""
    found: dict[str, tuple[Case, Launch]] = {}
    for case in cases(TOKENS):
        for launch in launches(case):
            even = case.linear.wide % (launch["block_k"] * launch.get("split_k", 1)) == 0  # type: ignore[operator] # block_k is a number
            key = json.dumps([case.op, len(case.linear.outputs), case.rank, even, launch])
            found.setdefault(key, (case, launch))
    return list(found.values())


def cases(tokens: Sequence[int]) -> list[Case]:
    """Everything that is tuned."""
    linears = {"shrink": LINEARS, "expand": SLICES}
    return [
        Case(op, linear, rank, count)
        for op in linears
        for linear, rank, count in itertools.product(linears[op], RANKS, tokens)
    ]


def tune(case: Case) -> tuple[Launch, float, float]:
    """The fastest right launch, its seconds, and those of vLLM's own."""
    kernel = Kernel(case, LAYERS)
    own, right = kernel.seconds(None), kernel.answer(None)
    timed = []
    for launch in launches(case):
        try:
            timed.append((kernel.seconds(launch), launch))
        except Exception as error:  # noqa: BLE001 - as in compile_share
            print(f"{case}: {launch} was refused: {type(error).__name__}", flush=True)
    for seconds, launch in sorted(timed, key=lambda pair: pair[0]):
        wrong = (kernel.answer(launch) - right).abs().max() / right.abs().max()
        if wrong < TOLERANCE:
            return launch, seconds, own
    raise SystemExit(f"{case}: no launch gives the right numbers.")


def table(launches: Mapping[Case, Launch]) -> dict[str, Any]:
    """One kernel's launches as vLLM's file has them; a number of slices that was not tuned gets the next lower's."""
    found: dict[str, Any] = {}
    for case, launch in launches.items():
        place = found
        for key in case.keys[:-1]:
            place = place.setdefault(key, {})
        place[case.keys[-1]] = launch
    for by_slices in found.values():
        for number in range(len(by_slices) + 1, MOST_SLICES + 1):
            by_slices[str(number)] = by_slices[str(number - 1)]
    return found


def main() -> None:
    """Tune, print and write."""
    import torch

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    began = time.monotonic()
    with ProcessPoolExecutor(COMPILERS, mp_context=get_context("spawn")) as pool:
        failed = sum(pool.map(compile_share, range(COMPILERS)))
    print(f"{len(_distinct())} programs, {failed} refused, compiled in {time.monotonic() - began:.0f} s", flush=True)
    best: dict[str, dict[Case, Launch]] = {"shrink": {}, "expand": {}}
    for case in cases(TOKENS):
        launch, seconds, own = tune(case)
        best[case.op][case] = launch
        print(f"{case.op:6} {case.linear} rank {case.rank} tokens {case.tokens:4}: {own * 1e6:7.1f} us -> "
              f"{seconds * 1e6:7.1f} us {launch}", flush=True)  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    gpu = torch.cuda.get_device_name().replace(" ", "_").replace("-", "_")
    for op, name in (("shrink", "SHRINK"), ("expand", "EXPAND_TRUE")):
        (options.out / f"{gpu}_{name}.json").write_text(json.dumps(table(best[op])) + "\n", encoding="utf-8")
    print(f"{time.monotonic() - began:.0f} s in all", flush=True)


if __name__ == "__main__":
    main()
