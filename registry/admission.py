"""Admission: proof, from headers and one bounded scan of the values, that an adapter fits its base."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registry.base_model import BaseModel
from registry.errors import InvalidAdapter
from registry.manifest import LoraConfig
from registry.peft_config import read_config
from registry.refs import shown
from registry.safetensors_header import Tensor, read_header

if TYPE_CHECKING:
    import numpy as np

WEIGHTS = "adapter_model.safetensors"
SCAN = 1 << 22  # values looked at in one go, so that memory does not depend on the adapter's size

_TENSOR = re.compile(r"base_model\.model\.(?P<module>[A-Za-z0-9_.]+)\.lora_(?P<half>[AB])\.weight", re.ASCII)

# dtype -> (numpy's type of the same width, mask of the exponent, mask of everything but the sign)
_FLOATS = {
    "F32": ("<u4", 0x7F80_0000, 0x7FFF_FFFF),
    "BF16": ("<u2", 0x7F80, 0x7FFF),
    "F16": ("<u2", 0x7C00, 0x7FFF),
}


@dataclass(frozen=True, slots=True)
class Admitted:
    """What was proved.

    Attributes:
        lora: the LoRA configuration.
        modules: names of the base's layers that the adapter changes.
    """

    lora: LoraConfig
    modules: tuple[str, ...]


def admit(folder: Path, base: BaseModel) -> Admitted:
    """Prove that the adapter in ``folder`` fits ``base`` and does something.

    Raises:
        InvalidAdapter: with one line that says what is wrong.
    """
    lora, document = read_config(folder)
    file = folder / WEIGHTS
    if not file.is_file():
        pickled = any(folder.glob("adapter_model.bin"))
        reason = "its weights are a pickle, which can run code" if pickled else f"it has no {WEIGHTS}"
        raise InvalidAdapter(f"{folder.name} is refused: {reason}.", "Save it with safe_serialization=True.")
    tensors = read_header(file)
    pairs = _pairs(tensors)
    for module, (down, up) in pairs.items():
        _prove_shape(module, down, up, lora, base)
    if "layers_to_transform" not in document or document["layers_to_transform"] is None:
        _prove_complete(pairs, lora, base)
    _prove_values(file, pairs)
    return Admitted(lora, tuple(sorted(pairs)))


def _pairs(tensors: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    halves: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = _TENSOR.fullmatch(name)
        if not match:
            raise InvalidAdapter(
                f"The tensor {shown(name)} is no LoRA weight; base_model.model.<layer>.lora_A.weight was expected.",
                "Engines would ignore it or refuse the adapter.",
            )
        halves.setdefault(match["module"], {})[match["half"]] = tensor
    if not halves:
        raise InvalidAdapter("The adapter has no tensors.")
    for module, found in halves.items():
        if len(found) == 1:
            raise InvalidAdapter(f"The layer {module} has lora_{next(iter(found))} only; A and B were expected.")
    return {module: (found["A"], found["B"]) for module, found in halves.items()}


def _prove_shape(module: str, down: Tensor, up: Tensor, lora: LoraConfig, base: BaseModel) -> None:
    if module not in base.modules:
        raise InvalidAdapter(
            f"The adapter changes {shown(module)}, which the base {base.name} does not have.",
            "It was trained for another base.",
        )
    out, into = base.modules[module]
    for half, tensor, expected in (("A", down, (lora.rank, into)), ("B", up, (out, lora.rank))):
        if tensor.shape != expected:
            raise InvalidAdapter(
                f"{module} lora_{half} has the shape {list(tensor.shape)}; "
                f"rank {lora.rank} on the base {base.name} needs {list(expected)}."
            )
        if tensor.dtype not in _FLOATS:
            raise InvalidAdapter(f"{module} lora_{half} is {tensor.dtype}; one of {', '.join(_FLOATS)} was expected.")


def _prove_complete(pairs: dict[str, tuple[Tensor, Tensor]], lora: LoraConfig, base: BaseModel) -> None:
    suffixes = tuple(f".{target}" for target in lora.target_modules)
    missing = [module for module in base.modules if f".{module}".endswith(suffixes) and module not in pairs]
    if missing:
        raise InvalidAdapter(
            f"The adapter lacks {len(missing)} of the layers that its target_modules name, {missing[0]} first.",
            "It was saved incompletely.",
        )


def _prove_values(file: Path, pairs: dict[str, tuple[Tensor, Tensor]]) -> None:
    changes = False
    for module, halves in pairs.items():
        zero = [not _scan(file, tensor, module) for tensor in halves]
        changes = changes or not any(zero)
    if not changes:
        raise InvalidAdapter("The adapter changes nothing: in every layer A or B is all zero.", "Train it first.")


def _scan(file: Path, tensor: Tensor, module: str) -> bool:
    """Whether any value is not zero.

    Raises:
        InvalidAdapter: a value is NaN or infinite.
    """
    exponent, magnitude = _FLOATS[tensor.dtype][1:]
    nonzero = False
    for values in _pieces(file, tensor):
        if ((values & exponent) == exponent).any():
            raise InvalidAdapter(f"{module} holds NaN or infinity.", "The training diverged; lower the learning rate.")
        nonzero = nonzero or bool((values & magnitude).any())
    return nonzero


def _pieces(file: Path, tensor: Tensor) -> Iterator["np.ndarray"]:
    import numpy as np

    dtype = np.dtype(_FLOATS[tensor.dtype][0])
    left, start = tensor.size // dtype.itemsize, tensor.start
    while left:
        count = min(left, SCAN)
        yield np.fromfile(file, dtype=dtype, count=count, offset=start)
        left, start = left - count, start + count * dtype.itemsize
