"""A tiny Llama with random weights, prepared as a base; made once, on the CPU, without a network."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

from registry.base_model import NF4, BaseModel
from registry.bases import RECORD, LocalBases
from registry.files import FileEntry

MakeAdapter = Callable[..., Path]


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory) -> LocalBases:
    """Prepared bases of a machine that has one: ``tiny``."""
    root = tmp_path_factory.mktemp("bases")
    folder = root / "tiny"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config).bfloat16()  # type: ignore[no-untyped-call] # transformers' own lack
    model.save_pretrained(folder / "bf16")
    settings = BitsAndBytesConfig(  # type: ignore[no-untyped-call] # transformers' own lack
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    quantized = AutoModelForCausalLM.from_pretrained(
        folder / "bf16", quantization_config=settings, dtype=torch.bfloat16, device_map={"": "cpu"}
    )
    quantized.save_pretrained(folder / "nf4")
    linear = {name: layer for name, layer in model.named_modules() if isinstance(layer, torch.nn.Linear)}
    base = BaseModel(
        name="tiny",
        source="a config",
        revision="0",
        quantization=NF4,
        architecture="LlamaForCausalLM",
        parameters=model.num_parameters(),
        context_length=128,
        chat_template_digest="",
        modules={name: (one.out_features, one.in_features) for name, one in linear.items() if name != "lm_head"},
        bf16=_entries(folder / "bf16"),
        nf4=_entries(folder / "nf4"),
    )
    (folder / RECORD).write_text(json.dumps(base.to_json()), encoding="utf-8")
    return LocalBases(root)


@pytest.fixture
def base(bases: LocalBases) -> BaseModel:
    return bases.get("tiny")


@pytest.fixture
def make_adapter(base: BaseModel, tmp_path: Path) -> MakeAdapter:
    """Writes a random adapter on every linear layer; options go into adapter_config.json."""

    def make(*, rank: int = 4, alpha: float = 8.0, seed: int = 0, **options: Any) -> Path:
        folder = tmp_path / f"adapter-{rank}-{alpha}-{seed}-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        draw = torch.Generator().manual_seed(seed)
        tensors = {}
        for module, (out, into) in base.modules.items():
            prefix = f"base_model.model.{module}"
            tensors[f"{prefix}.lora_A.weight"] = torch.randn(rank, into, generator=draw) * 0.05
            tensors[f"{prefix}.lora_B.weight"] = torch.randn(out, rank, generator=draw) * 0.05
        save_file(tensors, folder / "adapter_model.safetensors")
        config = {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": "tiny",
            "r": rank,
            "lora_alpha": alpha,
            "target_modules": sorted({module.rpartition(".")[2] for module in base.modules}),
            "inference_mode": True,
        }
        (folder / "adapter_config.json").write_text(json.dumps(config | options), encoding="utf-8")
        return folder

    return make


def _entries(folder: Path) -> tuple[FileEntry, ...]:
    return tuple(FileEntry.of(folder, file.name) for file in sorted(folder.iterdir()))
