"""Where the steps of a vLLM engine spend the GPU's time, from a trace of its torch profiler.

``python -m bench.engine_steps TRACE.json.gz`` prints for each step its tokens, its time on the GPU, how much of that
the GPU computed, and the time in each kind of kernel, in milliseconds. ``bench.serve_gpu --profile`` takes a trace.
"""

import bisect
import gzip
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

KINDS = {
    "LoRA expand": r"_lora_expand",
    "LoRA shrink": r"_lora_shrink",
    "NF4 dequantise": r"kDequantize",
    "products": r"nvjet|gemm|splitK",
    "attention": r"flash|attention",
    "copies": r"elementwise_kernel<128|[Mm]emcpy",
}
"""Kind of kernel -> how its name looks; the first that matches counts."""

OTHER = "other"
ON_GPU = frozenset({"kernel", "gpu_memcpy", "gpu_memset"})
_STEP = re.compile(r"execute_context_\d+\((\d+)\)_generation_\d+\((\d+)\)")


def kind(name: str) -> str:
    """What a kernel does."""
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), OTHER)


def steps(events: list[dict[str, Any]]) -> list[tuple[str, float, Counter[str]]]:
    """Each step: tokens of prompts + of answers, milliseconds on the GPU, and milliseconds in each kind of kernel."""
    kernels = sorted((one["ts"], one["dur"], one["name"]) for one in events if one.get("cat") in ON_GPU)
    begins = [begin for begin, _, _ in kernels]
    spans = sorted(
        (one["ts"], one["dur"], f"{found[1]} + {found[2]}")
        for one in events
        if one.get("cat") == "gpu_user_annotation" and (found := _STEP.match(one["name"]))
    )
    every = []
    for begin, seconds, tokens in spans:
        by_kind: Counter[str] = Counter()
        inside = slice(bisect.bisect_left(begins, begin), bisect.bisect_left(begins, begin + seconds))
        for _, took, name in kernels[inside]:
            by_kind[kind(name)] += took / 1e3
        every.append((tokens, seconds / 1e3, by_kind))
    return every


def show(trace: Path) -> None:
    """Print a trace's steps."""
    with gzip.open(trace, "rt", encoding="utf-8") as stream:
        events = json.load(stream)["traceEvents"]
    table = Table("tokens in + out", "step", "busy", *KINDS, OTHER, title=f"{trace.name}: milliseconds")
    for tokens, took, by_kind in steps(events):
        figures = (took, by_kind.total(), *(by_kind[kind] for kind in (*KINDS, OTHER)))
        table.add_row(tokens, *(f"{figure:.1f}" for figure in figures))
    Console().print(table)


if __name__ == "__main__":
    show(Path(sys.argv[1]))
