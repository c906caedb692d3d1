"""Merge: W + scale·B·A for every layer that the adapter changes, streamed tensor by tensor."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open

from export.shards import SHARD, ShardWriter
from export.weights import BaseWeights
from registry.admission import admit
from registry.base_model import BaseModel
from registry.errors import InvalidAdapter
from registry.manifest import LoraConfig
from registry.peft_config import read_config
from registry.run_folder import WEIGHTS

KEPT = frozenset({".json", ".jinja", ".model", ".txt"})
"""Endings of what is copied beside the weights: tokenizer, chat template, generation config; nothing that can run."""


def scale(lora: LoraConfig) -> float:
    """Alpha / r, or alpha / sqrt(r) with rsLoRA (arXiv:2312.03732)."""
    return lora.alpha / (math.sqrt(lora.rank) if lora.use_rslora else lora.rank)


def add_delta(weight: torch.Tensor, down: torch.Tensor, up: torch.Tensor, factor: float) -> torch.Tensor:
    """``weight + factor * up @ down`` in float32, rounded once to bf16.

    Args:
        weight: (out, in).
        down: A, (r, in).
        up: B, (out, r).
        factor: of the update.
    """
    return weight.float().addmm_(up.float(), down.float(), alpha=factor).bfloat16()


def merge(
    *,
    adapter: Path,
    base: BaseModel,
    weights: Path,
    target: Path,
    shard_bytes: int = SHARD,
    on_bytes: Callable[[int], None] | None = None,
) -> None:
    """Write a complete Hugging Face folder with the adapter merged in; needs no more memory than one shard.

    Args:
        adapter: folder in PEFT's layout.
        base: the base that it was trained on.
        weights: the base's folder to merge into: its NF4 form, which is dequantised, or its 16-bit form.
        target: a folder that does not exist.
        shard_bytes: size of the files, and of what is in memory.
        on_bytes: hears the bytes of each tensor that is done.

    Raises:
        InvalidAdapter: the adapter does not fit the base, or is of a kind that has no such sum (DoRA).
    """
    admitted = admit(adapter, base)
    _, document = read_config(adapter)
    if document.get("fan_in_fan_out"):
        raise InvalidAdapter("The adapter has fan_in_fan_out (transposed layers); linear layers were expected.")
    left = set(admitted.modules)
    target.mkdir()
    source, writer = BaseWeights(weights), ShardWriter(target, shard_bytes)
    with safe_open(adapter / WEIGHTS, framework="pt") as lora:
        for name in source.names:
            weight, module = source.read(name), name.removesuffix(".weight")
            if module in left:
                left.remove(module)
                down, up = (lora.get_tensor(f"base_model.model.{module}.lora_{half}.weight") for half in "AB")
                weight = add_delta(weight, down, up, scale(admitted.lora))
            writer.add(name, weight)
            if on_bytes:
                on_bytes(weight.nbytes)
    if left:
        raise InvalidAdapter(
            f"The adapter changes {min(left)}, which has no weight of its own in {base.name} (a tied layer?).",
            "Train without it in target_modules.",
        )
    writer.finish()
    _copy_rest(weights, target)


def _copy_rest(weights: Path, target: Path) -> None:
    for file in sorted(weights.iterdir()):
        if file.suffix in KEPT and file.name not in ("config.json", "model.safetensors.index.json"):
            shutil.copyfile(file, target / file.name)
    config = json.loads((weights / "config.json").read_text(encoding="utf-8"))
    for key in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        config.pop(key, None)
    config["dtype"] = "bfloat16"
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
