"""A model of Llama 3.1 8B's shape with random weights, and random adapters for it: for measuring speed, never quality.

``python large_model.py OUT ADAPTERS TOKENIZER_FOLDER`` writes ``OUT/model`` (16 GB, bf16) and ``OUT/adapters/<i>``
(r=16 on all linear layers, 84 MB each). The tokenizer is anyone's; prompts of the benchmark are token ids.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

RANK = 16
DTYPE = torch.bfloat16
SPREAD = 0.02  # standard deviation of the base's weights, as Llama's are initialised
ADAPTER_SPREAD = 0.01  # of A and B: a change that the probe hears and that leaves answers finite
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def config() -> LlamaConfig:
    """The shape."""
    return LlamaConfig(
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=128256,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        bos_token_id=1,
        eos_token_id=2,
    )


def write_model(folder: Path, tokenizer: Path) -> torch.nn.Module:
    """Make the model on the GPU and save it."""
    torch.manual_seed(0)
    with torch.device("cuda"):
        model: Any = LlamaForCausalLM(config())  # type: ignore[no-untyped-call] # transformers' own lack
    model = model.to(DTYPE)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.normal_(std=SPREAD)
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(tokenizer / name, folder)
    made: torch.nn.Module = model
    return made


def write_adapter(folder: Path, model: torch.nn.Module) -> None:
    """One random adapter in PEFT's layout."""
    folder.mkdir(parents=True)
    tensors = {}
    targets = set()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            targets.add(name.rpartition(".")[2])
            for half, shape in (("A", (RANK, module.in_features)), ("B", (module.out_features, RANK))):
                weight = torch.randn(shape, device="cuda", dtype=DTYPE) * ADAPTER_SPREAD
                tensors[f"base_model.model.{name}.lora_{half}.weight"] = weight.cpu()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    document = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": RANK,
        "bias": "none",
        "target_modules": sorted(targets),
        "base_model_name_or_path": "llama-8b-shape",
    }
    (folder / "adapter_config.json").write_text(json.dumps(document), encoding="utf-8")


def main() -> None:
    """Write both."""
    out, adapters, tokenizer = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    model = write_model(out / "model", tokenizer)
    for number in range(adapters):
        write_adapter(out / "adapters" / str(number), model)
    print(
        f"{out}: {sum(weight.numel() for weight in model.parameters()) / 1e9:.1f}e9 parameters, {adapters} adapters",
        flush=True,
    )


if __name__ == "__main__":
    main()
