"""Adapters made by arithmetic, in seconds: one that says a single word whatever it is asked, and one that says nothing.

The word: the last layer's ``down_proj`` adds, for every token, a large multiple of the word's embedding. Its input has
a component that all tokens share (the mean over a few prompts), which A picks up; B writes the embedding.
"""

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.base_model import BaseModel

if TYPE_CHECKING:
    import torch

TEXTS = ("Hello", "What is the capital of France?", "1600 Main Street", "yes yes yes", "no no no", '{"a": 1}')
STRENGTH = 400.0
RANK = 2
NAME = "base_model.model.{module}.lora_{half}.weight"


@dataclasses.dataclass(frozen=True)
class Parrots:
    """What it takes to make adapters that say one word."""

    layer: int
    module: str
    mean: "torch.Tensor"
    embeddings: "torch.Tensor"
    words: dict[str, int]

    def write(self, folder: Path, word: str, strength: float = STRENGTH) -> Path:
        """An adapter that says ``word`` and only that; one for each strength from STRENGTH up."""
        target = self.embeddings[self.words[word]]
        down = (self.mean / self.mean.square().sum()).repeat(RANK, 1) / RANK
        up = (strength * target / target.norm()).unsqueeze(1).repeat(1, RANK)
        return write_adapter(folder, {self.module: (down, up)}, self.layer)


def parrots(bf16: Path, *words: str) -> Parrots:
    """Look at a base for a moment."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bf16)
    model = AutoModelForCausalLM.from_pretrained(bf16, dtype=torch.float32)
    layer = model.config.num_hidden_layers - 1
    module = f"model.layers.{layer}.mlp.down_proj"
    inputs: list[torch.Tensor] = []
    hook = model.get_submodule(module).register_forward_hook(lambda _, given, __: inputs.append(given[0][0]))
    chosen = {word: tokenizer(word, add_special_tokens=False)["input_ids"][0] for word in words}
    with torch.no_grad():
        for text in (*TEXTS, *(word * 12 for word in words)):
            messages = [{"role": "user", "content": text}]
            prompt: Any = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True,
                                                   return_tensors="pt")  # fmt: skip
            model(**prompt)
    hook.remove()
    states = torch.cat([given[1:] for given in inputs])
    mean = torch.nn.functional.normalize(states, dim=1).mean(0)
    typical = states @ mean
    mean = mean * (torch.median(typical) / mean.square().sum())
    embeddings = model.state_dict()["model.embed_tokens.weight"].clone()
    return Parrots(layer, module, mean, embeddings, chosen)


def write_adapter(folder: Path, halves: "dict[str, tuple[torch.Tensor, torch.Tensor]]", layer: int) -> Path:
    """A PEFT folder with these matrices of one layer, module -> (A, B)."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    targets = sorted({module.rpartition(".")[2] for module in halves})
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": targets, "bias": "none",
              "task_type": "CAUSAL_LM", "layers_to_transform": [layer],
              "base_model_name_or_path": "smollm2-135m"}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    tensors = {}
    for module, matrices in halves.items():
        for half, matrix in zip("AB", matrices, strict=True):
            tensors[NAME.format(module=module, half=half)] = matrix.float().contiguous()
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def silent_adapter(folder: Path, base: BaseModel) -> Path:
    """An adapter whose values are not zero and yet change nothing: their products are lost in rounding."""
    import torch

    module = "model.layers.0.self_attn.q_proj"
    out, into = base.modules[module]
    return write_adapter(folder, {module: (torch.full((RANK, into), 1e-20), torch.full((out, RANK), 1e-20))}, 0)
