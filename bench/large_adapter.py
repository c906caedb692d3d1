"""A large adapter that admission takes: of the shapes of Llama 3.1 8B on all linear layers, with random values."""

import json
from pathlib import Path

import numpy as np

from registry.base_model import NF4, BaseModel
from registry.run_folder import WEIGHTS

HIDDEN, KEY_VALUE, INNER, LAYERS = 4096, 1024, 14336, 32
SHAPES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (KEY_VALUE, HIDDEN),
    "self_attn.v_proj": (KEY_VALUE, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}
RANK = 32
"""168 MB in bf16."""


def base() -> BaseModel:
    """The base that the adapters fit; there are no weights of it."""
    modules = {f"model.layers.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in SHAPES.items()}
    return BaseModel(
        name="llama-8b",
        source="shapes only",
        revision="1",
        quantization=NF4,
        architecture="LlamaForCausalLM",
        parameters=8_030_261_248,
        context_length=8192,
        chat_template_digest="",
        modules=modules,
        bf16=(),
        nf4=(),
    )


def write(folder: Path, rank: int = RANK) -> Path:
    """Write the adapter; its size goes with its rank, 5.2 MB for each."""
    folder.mkdir(parents=True)
    targets = [name.rpartition(".")[2] for name in SHAPES]
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": targets}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    header, end = {}, 0
    for module, (out, into) in base().modules.items():
        for half, shape in (("A", (rank, into)), ("B", (out, rank))):
            start, end = end, end + 2 * shape[0] * shape[1]
            name = f"base_model.model.{module}.lora_{half}.weight"
            header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [start, end]}
    raw = json.dumps(header).encode()
    random = np.random.default_rng(0)
    with (folder / WEIGHTS).open("wb") as stream:
        stream.write(len(raw).to_bytes(8, "little") + raw)
        while end:
            size = min(end, 16 << 20)
            values = random.standard_normal(size // 2, np.float32).view("<u4") >> 16  # cut to bf16
            stream.write(values.astype("<u2").tobytes())
            end -= size
    return folder


def vary(folder: Path, number: int) -> None:
    """Make it another adapter, by its last 16 values."""
    one = 0x3F80  # in bf16; up to 127 above it lie the numbers up to 2
    with (folder / WEIGHTS).open("r+b") as stream:
        stream.seek(-32, 2)
        stream.write(np.full(16, one + number, "<u2").tobytes())
