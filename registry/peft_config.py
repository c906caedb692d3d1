"""PEFT's ``adapter_config.json``: what of it engines honour, and what they refuse or silently ignore."""

import math
import re
from pathlib import Path
from typing import Any

from registry.errors import InvalidAdapter
from registry.manifest import LoraConfig
from registry.refs import shown
from registry.strict_json import AGAIN, read_object_file

CONFIG = "adapter_config.json"

MAX_RANK = 512
"""The largest rank that vLLM can be started for (vllm/config/lora.py, MaxLoRARanks)."""

MAX_ALPHA = 1 << 20
"""Far beyond what anyone trains with, and far below what overflows once it is multiplied into B."""

MAX_CONFIG = 1 << 20
MAX_PATTERN = 10_000
"""Characters of target_modules, when it is a pattern: Unsloth's for picture models has 400."""

PLAIN_INITS = frozenset({"gaussian", "eva", "orthogonal", "mica", "lora_ga"})
"""Initialisations after which the saved adapter is still a plain LoRA (vllm/lora/peft_helper.py)."""

REFUSED = {
    "use_dora": "DoRA; vLLM serves plain LoRA only",
    "lora_bias": "a LoRA bias; vLLM does not serve it",
    "modules_to_save": "whole modules beside LoRA (modules_to_save); vLLM does not serve them",
    "trainable_token_indices": "trained token embeddings; vLLM does not serve them",
    "alpha_pattern": "an alpha per layer (alpha_pattern); llama.cpp ignores it and would answer differently",
    "rank_pattern": "a rank per layer (rank_pattern); not every engine scales it alike",
    "layer_replication": "replicated layers; vLLM does not serve them",
    "alora_invocation_tokens": "an activated LoRA; vLLM does not serve it",
    "invocation_string": "an activated LoRA; vLLM does not serve it",
    "use_bdlora": "a block-diagonal LoRA; vLLM does not serve it",
    "use_qalora": "QALoRA; vLLM does not serve it",
    "target_parameters": "LoRA on bare parameters (target_parameters); vLLM does not serve it",
    "fan_in_fan_out": "transposed layers (fan_in_fan_out), which a base of linear layers does not have",
    "kasa_config": "KaSA, which changes the base's weights too; vLLM would ignore that",
    "monteclora_config": "MonteCLoRA, which samples; vLLM would ignore it",
    "arrow_config": "Arrow, which mixes adapters; vLLM would ignore it",
}
"""Options that an engine refuses or ignores -> what the adapter uses, and why that cannot be served."""

HARMLESS = frozenset({
    # what is read below, or in admission
    "peft_type", "r", "lora_alpha", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern",
    "bias", "use_rslora", "init_lora_weights",
    # who wrote it, and of which base
    "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision", "task_type",
    # means something in training only (peft/tuners/lora/config.py)
    "lora_dropout", "runtime_config", "loftq_config", "eva_config", "corda_config", "lora_ga_config",
    "velora_config", "megatron_config", "megatron_core", "qalora_group_size", "ensure_weight_tying",
})  # fmt: skip
"""Options that change nothing of what the saved weights mean: PEFT 0.21's, and those above."""


def read_config(folder: Path) -> tuple[LoraConfig, dict[str, Any]]:
    """Read ``adapter_config.json`` and prove that engines can serve what it asks for.

    Returns:
        What engines need, and the whole document.

    Raises:
        InvalidAdapter: it is missing, broken, or asks for something that would be refused or silently ignored.
    """
    file = folder / CONFIG
    if not file.is_file():
        raise InvalidAdapter(
            f"{folder} is no adapter: it has no {CONFIG}.", "Give the folder that PEFT or the trainer saved."
        )
    document = read_object_file(file, MAX_CONFIG)
    if document.get("peft_type") != "LORA":
        kind = shown(str(document.get("peft_type")))
        raise InvalidAdapter(f"{CONFIG} is of the type {kind}, not LORA.", "Train with PEFT's LoraConfig.")
    for option, use in REFUSED.items():
        if document.get(option):
            raise InvalidAdapter(f"The adapter uses {use}.", f"Train without {option}.")
    if document.get("bias", "none") != "none":
        raise InvalidAdapter("The adapter trains biases; vLLM does not serve them.", 'Train with bias="none".')
    _prove_init(document.get("init_lora_weights", True))
    for option, value in document.items():
        if value and option not in HARMLESS:
            raise InvalidAdapter(
                f"{CONFIG} has the option {shown(option)}, of which nobody here knows whether engines honour it.",
                "Remove it if it means nothing for answers.",
            )
    return _lora(document), document


def _prove_init(init: Any) -> None:
    if init is None or isinstance(init, bool) or (isinstance(init, str) and init.lower() in PLAIN_INITS):
        return
    raise InvalidAdapter(
        f"The adapter was initialised with {shown(str(init))}, which changes the base's weights too.",
        "Convert it with PEFT's path_initial_model_for_weight_conversion.",
    )


def _lora(document: dict[str, Any]) -> LoraConfig:
    rank, rslora = document.get("r"), document.get("use_rslora", False)
    alpha: Any = document.get("lora_alpha")
    if type(rank) is not int or not 1 <= rank <= MAX_RANK:
        raise InvalidAdapter(f"The rank is {shown(str(rank))}; engines serve 1 to {MAX_RANK}.", "Train with less.")
    if type(alpha) not in (int, float) or not (math.isfinite(alpha) and 0 < alpha <= MAX_ALPHA):
        raise InvalidAdapter(
            f"lora_alpha is {shown(str(alpha))}; a number above 0 and up to {MAX_ALPHA} was expected.",
            "Usual is the rank, or twice the rank.",
        )
    if not isinstance(rslora, bool | None):
        raise InvalidAdapter(f"use_rslora is {shown(str(rslora))}; true or false was expected.", AGAIN)
    return LoraConfig(
        rank=rank, alpha=float(alpha), target_modules=_targets(document.get("target_modules")), use_rslora=bool(rslora)
    )


def _targets(targets: Any) -> tuple[str, ...]:
    """The names in target_modules, sorted; a text is a pattern, which stays as it is and is never run.

    A pattern from a stranger can take a regular-expression engine longer than the universe is old.
    """
    if isinstance(targets, str) and 0 < len(targets) <= MAX_PATTERN:
        return (targets,)
    if not isinstance(targets, list) or not targets or not all(isinstance(target, str) for target in targets):
        raise InvalidAdapter("target_modules names no layers.", "Name them as the base does: q_proj, v_proj, ...")
    for target in targets:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,256}", target, re.ASCII):
            raise InvalidAdapter(
                f"target_modules holds {shown(target)}, which is no layer's name.",
                "Name them as the base does: q_proj, ...",
            )
    return tuple(sorted(set(targets)))
