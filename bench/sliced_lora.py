"""vLLM's expand kernel once for all slices of a layer, beside once for each (``serve.engine.lora_kernels.sliced``).

``python -m bench.sliced_lora`` runs both on this GPU for the linear layers of a Llama 3.1 8B with the launches in
``serve/engine/lora_kernels``, ends with an error unless they give the same numbers to the last bit, and prints the
microseconds of each.
"""

import itertools
import os
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.tune_lora import LINEARS, RANKS, Case, Kernel
from serve.engine.lora_kernels import LAUNCHES

TOKENS = (16, 256, 8192)
LAYERS = 16


def compare(case: Case) -> tuple[float, float]:
    """Microseconds for one layer, at once and slice by slice.

    Raises:
        SystemExit: the two differ.
    """
    import torch
    from vllm.lora.ops.triton_ops.lora_expand_op import _lora_expand

    kernel = Kernel(case, LAYERS)

    def at_once(layer: int) -> None:
        _lora_expand(kernel.inputs, kernel.weights[layer], kernel.output, *kernel.meta, add_inputs=True)

    def sliced(layer: int) -> None:
        meta = list(kernel.meta)
        torch.ops.vllm.lora_expand_slices(kernel.inputs, kernel.weights[layer], kernel.output, meta, 0, True)

    def answer(call: Callable[[int], None]) -> Any:
        kernel.output.zero_()
        call(0)
        return kernel.output.clone()

    if not torch.equal(answer(at_once), answer(sliced)):
        raise SystemExit(f"{case}: slice by slice gives other numbers.")
    return kernel.time(at_once) * 1e6, kernel.time(sliced) * 1e6


def main() -> None:
    """Compare and print."""
    os.environ.setdefault("VLLM_TUNED_CONFIG_FOLDER", str(LAUNCHES))
    import serve.engine.lora_kernels.sliced  # noqa: F401 - registers the operator

    table = Table("rank", "tokens", "at once, us", "slice by slice, us", title="expand, the linear layers of one layer")
    for rank, tokens in itertools.product(RANKS, TOKENS):
        both = [compare(Case("expand", linear, rank, tokens)) for linear in LINEARS]
        table.add_row(*map(str, (rank, tokens)), *(f"{sum(side):.1f}" for side in zip(*both, strict=True)))
    Console().print(table)


if __name__ == "__main__":
    main()
