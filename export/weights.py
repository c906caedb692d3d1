"""BaseWeights: the tensors of a prepared base, one at a time, dequantised where they are NF4."""

from pathlib import Path

import torch
from safetensors import safe_open

STATE = ".quant_state.bitsandbytes__nf4"
PARTS = (".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", STATE)
"""What bitsandbytes stores beside a weight (QuantState.as_dict, packed=True)."""


class BaseWeights:
    """Reads a Hugging Face folder without building the model; no more than one tensor is in memory."""

    def __init__(self, folder: Path) -> None:
        self._file: dict[str, Path] = {}
        for file in sorted(folder.glob("*.safetensors")):
            with safe_open(file, framework="pt") as tensors:
                self._file |= dict.fromkeys(tensors.keys(), file)
        self._quantized = {name.removesuffix(STATE) for name in self._file if name.endswith(STATE)}

    @property
    def names(self) -> list[str]:
        """Names of the weights, in the order of the files; what belongs to a quantised weight is not named."""
        parts = {weight + part for weight in self._quantized for part in PARTS}
        return [name for name in self._file if name not in parts]

    def read(self, name: str) -> torch.Tensor:
        """A weight in the dtype that the base computes with; NF4 is dequantised to what its layer multiplies by."""
        if name not in self._quantized:
            return self._load(name)
        from bitsandbytes.functional import QuantState, dequantize_4bit

        parts = {part.removeprefix("."): name + part for part in PARTS}
        state = {part: self._load(full) for part, full in parts.items() if full in self._file}
        quant_state = QuantState.from_dict(state, device=torch.device("cpu"))
        weight: torch.Tensor = dequantize_4bit(self._load(name), quant_state=quant_state)
        return weight

    def _load(self, name: str) -> torch.Tensor:
        with safe_open(self._file[name], framework="pt") as tensors:
            tensor: torch.Tensor = tensors.get_tensor(name)
        return tensor
