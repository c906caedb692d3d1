"""vLLM's LoRA wrapper for CUDA, which calls vLLM's expand kernel once for each slice of a layer, not once for all.

q, k and v are one layer of three slices in vLLM, gate and up one of two. In a launch for several slices each program
reads its slice's address from memory, so that Triton cannot know that it is aligned, and moves two bytes at a time; a
launch for one slice takes the address as an argument (``vllm/lora/ops/triton_ops``, 0.26 and 0.32). What it gains is in
``docs/performance.md``.
"""

from typing import Any

import torch
from vllm.lora.ops.triton_ops.lora_expand_op import _lora_expand
from vllm.lora.punica_wrapper.punica_gpu import PunicaWrapperGPU
from vllm.utils.torch_utils import direct_register_custom_op


def lora_expand_slices(
    inputs: torch.Tensor,
    weights: list[torch.Tensor],
    output: torch.Tensor,
    meta: list[torch.Tensor],
    offset: int,
    add_inputs: bool,
) -> None:
    """Add ``inputs[i] @ weights[i]`` to the columns of slice i, for the adapter of each row.

    One operator for all slices, because torch.compile might otherwise copy ``output`` between them.

    Args:
        inputs: (slices, tokens, rank), float32.
        weights: for each slice (adapters, 1, width, rank).
        output: (tokens, all widths), changed in place.
        meta: which rows belong to which adapter, as vLLM's ``LoRAKernelMeta.meta_args`` gives it.
        offset: the first slice's first column.
        add_inputs: add to what is there, or write over it.
    """
    for number, weight in enumerate(weights):
        part = inputs[number : number + 1]
        _lora_expand(part, [weight], output, *meta, offset_start=offset, add_inputs=add_inputs)
        offset += weight.shape[-2]


def _traced(
    inputs: torch.Tensor,
    weights: list[torch.Tensor],
    output: torch.Tensor,
    meta: list[torch.Tensor],
    offset: int,
    add_inputs: bool,
) -> None:
    """What torch.compile sees of it: nothing comes out."""


direct_register_custom_op(
    op_name="lora_expand_slices", op_func=lora_expand_slices, mutates_args=["output"], fake_impl=_traced
)


class SlicedPunica(PunicaWrapperGPU):  # type: ignore[misc] # vLLM is not typed where no GPU is
    """vLLM's own, but for one method."""

    def add_expand(
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_b_stacked: tuple[torch.Tensor, ...],
        output_slices: tuple[int, ...],  # noqa: ARG002 - the weights say it too
        offset_start: int = 0,
        add_inputs: bool = True,
        **_further: Any,
    ) -> None:
        """As vLLM's, which says what the arguments are."""
        meta = self.token_mapping_meta.meta_args(x.size(1), self.lora_config.specialize_active_lora)
        rows = y.view(-1, y.shape[-1])
        torch.ops.vllm.lora_expand_slices(x, list(lora_b_stacked), rows, list(meta), offset_start, add_inputs)
