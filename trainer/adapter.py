"""Adapter: put one on the base, and save it the way that engines take it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.base_model import BaseModel
from trainer.recipe import Lora

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WEIGHTS = "adapter_model.safetensors"
UNPACKED_ON_CPU = 1_000_000_000  # parameters, 4 GB in fp32


def load_base(folder: Path, *, cuda: bool) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    """Load the NF4 form that the server loads.

    Only the dtype of the computation may differ (``computes_in_bf16``). On the CPU a small model's NF4 weights are
    unpacked once, into the bf16 values that the engine unpacks them into: the same numbers, without doing it again in
    each step, which takes half of the time there.
    """
    import torch
    from bitsandbytes.nn import Linear4bit
    from transformers import AutoModelForCausalLM, AutoTokenizer

    dtype = torch.bfloat16 if computes_in_bf16(cuda=cuda) else torch.float32
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, device_map={"": 0 if cuda else "cpu"}, local_files_only=True
    )
    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.compute_dtype = dtype  # they take it from the saved configuration, not from ``dtype``
    if not cuda and model.num_parameters() <= UNPACKED_ON_CPU:
        model = model.dequantize()  # type: ignore[no-untyped-call] # transformers'
    return model, AutoTokenizer.from_pretrained(folder, local_files_only=True)


def computes_in_bf16(*, cuda: bool) -> bool:
    """Whether bf16 products are fast here.

    A CPU without bf16 instructions emulates them, four times slower than fp32 (measured, AVX-512 without BF16), so
    there the computation is fp32: the weights are the same, the activations merely less rounded.
    """
    import torch

    able = torch.cpu.get_capabilities()
    return cuda or bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def new_adapter(model: "PreTrainedModel", lora: Lora, targets: list[str], seed: int) -> "PeftModel":
    """Put a fresh adapter on the base: A random, B zero, so that it changes nothing yet."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    alpha = lora.scale_alpha
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=lora.rank,
        lora_alpha=int(alpha) if alpha.is_integer() else alpha,
        lora_dropout=lora.dropout,
        target_modules=targets,
        use_rslora=lora.use_rslora,
    )
    return get_peft_model(model, config)


def further_adapter(model: "PreTrainedModel", folder: Path) -> "PeftModel":
    """Put an earlier run's adapter on the base, to be trained further."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, folder, is_trainable=True)


def trainable_in_fp32(model: "PeftModel") -> None:
    """Keep the adapter's weights in fp32 while they are trained.

    TRL casts them to bf16, whose 8 bits of precision swallow the small steps late in training; where autocast is on,
    the products are bf16 either way.
    """
    import torch

    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def round_as_served(model: "PeftModel") -> float:
    """Round the adapter to bf16, in which it is saved and served, so that the last score is of what is served.

    Returns:
        The greatest absolute value in the B matrices; NaN where there is one.
    """
    import torch

    largest = torch.zeros(())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.bfloat16).to(model.dtype)
            if "lora_B" in name:
                largest = torch.maximum(largest, parameter.data.abs().max().float().cpu())
    return float(largest)


def save_adapter(model: "PeftModel", folder: Path, base: BaseModel) -> None:
    """Write ``adapter_config.json`` and ``adapter_model.safetensors`` in PEFT's layout, the weights in bf16.

    bf16 is what vLLM computes in on this base: it would round fp32 weights on loading, and the file is half as large.
    The base is named as people name it, not by a path of this machine.
    """
    import torch
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    # "auto" would look for the base's vocabulary on the Hugging Face hub.
    weights = get_peft_model_state_dict(model, save_embedding_layers=False)
    rounded = {name: tensor.to(torch.bfloat16).contiguous().cpu() for name, tensor in weights.items()}
    save_file(rounded, folder / WEIGHTS, {"format": "pt"})
    config: Any = model.peft_config[model.active_adapter]
    config.base_model_name_or_path = base.name
    config.inference_mode = True
    config.target_modules = sorted(config.target_modules)  # a set would be written in any order
    config.save_pretrained(folder)
