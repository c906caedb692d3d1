"""A base of Llama 3.1 8B's shape with random weights, and random adapters for it: for measuring speed, never quality.

``python -m bench.large_model WORK ADAPTERS TOKENIZER_FOLDER`` writes ``WORK/home/bases/llama-8b-shape`` (6 GB: NF4 as
``adaptory base prepare`` makes it, quantised on the GPU in seconds; the 16-bit form, which serving does not read, is
left out) and ``WORK/adapters/<i>`` (r=16 on all linear layers, 84 MB each). The tokenizer is anyone's.
"""

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.functional import quantize_4bit
from safetensors.torch import save_file

from registry.base_model import NF4, BaseModel
from registry.bases import RECORD, LocalBases
from registry.canonical import digest_bytes
from registry.files import FileEntry

NAME = "llama-8b-shape"
RANK = 16
CONTEXT = 8192
SPREAD = 0.02  # standard deviation of the base's weights, as Llama's are initialised
ADAPTER_SPREAD = 0.01  # of A and B: a change that the probe hears and that leaves answers finite
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama's sizes; the defaults are those of 3.1 8B."""

    hidden: int = 4096
    inner: int = 14336
    layers: int = 32
    heads: int = 32
    kv_heads: int = 8
    vocabulary: int = 128256

    @property
    def linears(self) -> dict[str, tuple[int, int]]:
        """Each linear layer -> (out, in) features."""
        keys = self.hidden // self.heads * self.kv_heads
        layer = {
            "self_attn.q_proj": (self.hidden, self.hidden),
            "self_attn.k_proj": (keys, self.hidden),
            "self_attn.v_proj": (keys, self.hidden),
            "self_attn.o_proj": (self.hidden, self.hidden),
            "mlp.gate_proj": (self.inner, self.hidden),
            "mlp.up_proj": (self.inner, self.hidden),
            "mlp.down_proj": (self.hidden, self.inner),
        }
        return {f"model.layers.{n}.{name}": shape for n in range(self.layers) for name, shape in layer.items()}

    def config(self) -> dict[str, Any]:
        """``config.json``."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "dtype": "bfloat16",
            "hidden_size": self.hidden,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.hidden // self.heads,
            "vocab_size": self.vocabulary,
            "max_position_embeddings": CONTEXT,
            "rms_norm_eps": 1e-6,
            "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
            "hidden_act": "silu",
            "tie_word_embeddings": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "quantization_config": {
                "quant_method": "bitsandbytes",
                "load_in_4bit": True,
                "bnb_4bit_quant_type": "nf4",
                "bnb_4bit_use_double_quant": True,
                "bnb_4bit_compute_dtype": "bfloat16",
                "bnb_4bit_quant_storage": "uint8",
            },
        }


def normal(*shape: int, spread: float = SPREAD) -> torch.Tensor:
    """Random weights, on the GPU where there is one."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.randn(*shape, device=device, dtype=torch.bfloat16) * spread


def weights(shape: Shape) -> dict[str, torch.Tensor]:
    """Every tensor of the NF4 form, by the names that transformers gives them."""
    embedding = (shape.vocabulary, shape.hidden)
    tensors = {name: normal(*embedding).cpu() for name in ("model.embed_tokens.weight", "lm_head.weight")}
    norms = [f"model.layers.{n}.{name}" for n in range(shape.layers) for name in ("input", "post_attention")]
    for name in ("model.norm.weight", *(f"{norm}_layernorm.weight" for norm in norms)):
        tensors[name] = torch.ones(shape.hidden, dtype=torch.bfloat16)
    for name, size in shape.linears.items():
        packed, state = quantize_4bit(normal(*size), blocksize=64, compress_statistics=True, quant_type="nf4")
        tensors[f"{name}.weight"] = packed.cpu()
        tensors |= {f"{name}.weight.{key}": part.cpu() for key, part in state.as_dict(packed=True).items()}
    return tensors


def write_base(bases: LocalBases, shape: Shape, tokenizer: Path) -> BaseModel:
    """The folder and the record of a prepared base."""
    folder = bases.folder(NAME) / "nf4"
    folder.mkdir(parents=True)
    save_file(weights(shape), folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(shape.config(), indent=2), encoding="utf-8")
    for name in TOKENIZER_FILES:
        shutil.copy(tokenizer / name, folder)
    base = BaseModel(
        name=NAME,
        source="random weights",
        revision=digest_bytes(b""),
        quantization=NF4,
        architecture="LlamaForCausalLM",
        parameters=sum(out * into for out, into in shape.linears.values()) + 2 * shape.vocabulary * shape.hidden,
        context_length=CONTEXT,
        chat_template_digest=digest_bytes((folder / "chat_template.jinja").read_bytes()),
        modules=shape.linears,
        bf16=(),
        nf4=tuple(FileEntry.of(folder, file.name) for file in sorted(folder.iterdir())),
    )
    (folder.parent / RECORD).write_text(json.dumps(base.to_json()), encoding="utf-8")
    return base


def write_adapter(folder: Path, shape: Shape) -> None:
    """One random adapter in PEFT's layout."""
    folder.mkdir(parents=True)
    tensors = {}
    for name, (out, into) in shape.linears.items():
        for half, size in (("A", (RANK, into)), ("B", (out, RANK))):
            tensors[f"base_model.model.{name}.lora_{half}.weight"] = normal(*size, spread=ADAPTER_SPREAD).cpu()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    document = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "r": RANK,
        "lora_alpha": RANK,
        "bias": "none",
        "target_modules": sorted({name.rpartition(".")[2] for name in shape.linears}),
        "base_model_name_or_path": NAME,
    }
    (folder / "adapter_config.json").write_text(json.dumps(document), encoding="utf-8")


def main() -> None:
    """Write both."""
    work, adapters, tokenizer = Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    began, shape = time.monotonic(), Shape()
    torch.manual_seed(0)
    base = write_base(LocalBases(work / "home" / "bases"), shape, tokenizer)
    for number in range(adapters):
        write_adapter(work / "adapters" / str(number), shape)
    seconds = time.monotonic() - began
    print(f"{work}: {base.parameters / 1e9:.1f}e9 weights and {adapters} adapters in {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
