"""PEFT's ``adapter_config.json``: what of it engines honour, and what they refuse or silently ignore."""

import json
import math
from pathlib import Path
from typing import Any

from registry.errors import InvalidAdapter
from registry.manifest import LoraConfig
from registry.refs import shown

MAX_RANK = 512
"""The largest rank that vLLM can be started for (vllm/config/lora.py, MaxLoRARanks)."""

MAX_CONFIG = 1 << 20

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
    "use_bdlora": "a block-diagonal LoRA; vLLM does not serve it",
    "use_qalora": "QALoRA; vLLM does not serve it",
    "target_parameters": "LoRA on bare parameters (target_parameters); vLLM does not serve it",
}
"""Options that an engine refuses or ignores -> what the adapter uses, and why that cannot be served."""


def read_config(folder: Path) -> tuple[LoraConfig, dict[str, Any]]:
    """Read ``adapter_config.json`` and prove that engines can serve what it asks for.

    Returns:
        What engines need, and the whole document.

    Raises:
        InvalidAdapter: it is missing, broken, or asks for something that would be refused or silently ignored.
    """
    file = folder / "adapter_config.json"
    if not file.is_file():
        raise InvalidAdapter(
            f"{folder} is no adapter: it has no adapter_config.json.", "Give the folder that PEFT or the trainer saved."
        )
    document = _load(file)
    if document.get("peft_type") != "LORA":
        raise InvalidAdapter(f"adapter_config.json is of the type {shown(str(document.get('peft_type')))}, not LORA.")
    for option, use in REFUSED.items():
        if document.get(option):
            raise InvalidAdapter(f"The adapter uses {use}.", f"Train without {option}.")
    if document.get("bias", "none") != "none":
        raise InvalidAdapter("The adapter trains biases; vLLM does not serve them.", 'Train with bias="none".')
    init = document.get("init_lora_weights", True)
    if isinstance(init, str) and init.lower() not in PLAIN_INITS:
        raise InvalidAdapter(
            f"The adapter was initialised with {shown(init)}, which changes the base's weights too.",
            "Convert it with PEFT's path_initial_model_for_weight_conversion.",
        )
    return _lora(document), document


def _load(file: Path) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise InvalidAdapter("adapter_config.json has the same key twice.")
        return dict(pairs)

    if file.stat().st_size > MAX_CONFIG:
        raise InvalidAdapter(f"adapter_config.json is larger than {MAX_CONFIG} bytes.")
    try:
        document = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InvalidAdapter("adapter_config.json is not JSON.") from error
    if not isinstance(document, dict):
        raise InvalidAdapter("adapter_config.json is not an object.")
    return document


def _lora(document: dict[str, Any]) -> LoraConfig:
    rank, alpha, targets = document.get("r"), document.get("lora_alpha"), document.get("target_modules")
    if type(rank) is not int or not 1 <= rank <= MAX_RANK:
        raise InvalidAdapter(f"The rank is {shown(str(rank))}; engines serve 1 to {MAX_RANK}.")
    if not isinstance(alpha, int | float) or isinstance(alpha, bool) or not math.isfinite(alpha) or alpha <= 0:
        raise InvalidAdapter(f"lora_alpha is {shown(str(alpha))}; a number above 0 was expected.")
    if isinstance(targets, str):
        targets = [targets]
    if not isinstance(targets, list) or not targets or not all(isinstance(target, str) for target in targets):
        raise InvalidAdapter("target_modules names no layers.")
    return LoraConfig(
        rank=rank,
        alpha=float(alpha),
        target_modules=tuple(sorted(targets)),
        use_rslora=bool(document.get("use_rslora", False)),
    )
