"""Admission: proof, from headers and one bounded scan of the values, that an adapter fits its base."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry import tensor_names
from registry.base_model import BaseModel
from registry.errors import InvalidAdapter
from registry.manifest import LoraConfig
from registry.peft_config import read_config
from registry.refs import shown
from registry.run_folder import WEIGHTS, Record, prove_regular
from registry.safetensors_header import Tensor, header_limit, read_header
from registry.weights_scan import FLOATS, Pairs, prove_values

PICKLES = ("adapter_model.bin", "adapter_model.pt", "adapter_model.pth", "pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class Admitted:
    """What was proved.

    Attributes:
        lora: the LoRA configuration.
        modules: names of the base's layers that the adapter changes.
        dtypes: of its tensors, sorted.
    """

    lora: LoraConfig
    modules: tuple[str, ...]
    dtypes: tuple[str, ...]


def admit(folder: Path, base: BaseModel) -> Admitted:
    """Prove that the adapter in ``folder`` fits ``base`` and does something.

    Raises:
        InvalidAdapter: with one line that says what is wrong.
    """
    admitted, pairs = _prove_headers(folder, base)
    prove_values(folder / WEIGHTS, pairs)
    return admitted


def admit_headers(folder: Path, base: BaseModel) -> Admitted:
    """Prove all but the values: what takes a moment whatever the size, before anything large is copied or sent.

    Raises:
        InvalidAdapter: as ``admit``.
    """
    return _prove_headers(folder, base)[0]


def prove_base(record: Record, base: BaseModel) -> None:
    """Prove that a run was trained on this very base, where its record says on which.

    Raises:
        InvalidAdapter: it was another.
    """
    if record.base_fingerprint and record.base_fingerprint != base.fingerprint:
        raise InvalidAdapter(
            f"The adapter was trained on the base {shown(record.base_name)[1:-1]} "
            f"({shown(record.base_fingerprint[:19])[1:-1]}…), not on {base.name} ({base.fingerprint[:19]}…).",
            "Prepare that base, or train again on this one.",
        )


def _prove_headers(folder: Path, base: BaseModel) -> tuple[Admitted, Pairs]:
    lora, document = read_config(folder)
    file = folder / WEIGHTS
    prove_regular(file)
    if not file.is_file():
        pickled = any((folder / name).is_file() for name in PICKLES)
        reason = "its weights are a pickle, which can run code" if pickled else f"it has no {WEIGHTS}"
        raise InvalidAdapter(f"{folder.name} is refused: {reason}.", "Save it with safe_serialization=True.")
    pairs = _pairs(read_header(file, header_limit(2 * len(base.modules))))
    for module, (down, up) in pairs.items():
        _prove_shape(module, down, up, lora, base)
    _prove_targets(pairs, lora, document, base)
    dtypes = tuple(sorted({tensor.dtype for pair in pairs.values() for tensor in pair}))
    return Admitted(lora, tuple(sorted(pairs)), dtypes), pairs


def _pairs(tensors: dict[str, Tensor]) -> Pairs:
    halves: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, half = tensor_names.parse(name)
        halves.setdefault(layer, {})[half] = tensor
    if not halves:
        raise InvalidAdapter("The adapter has no tensors.", "It was saved before it was trained, or without its base.")
    for module, found in halves.items():
        if len(found) == 1:
            raise InvalidAdapter(
                f"The layer {shown(module)[1:-1]} has lora_{next(iter(found))} only; A and B were expected.",
                "It was saved incompletely: save it again.",
            )
    return {module: (found["A"], found["B"]) for module, found in halves.items()}


def _prove_shape(module: str, down: Tensor, up: Tensor, lora: LoraConfig, base: BaseModel) -> None:
    if module not in base.modules:
        raise tensor_names.unknown_layer(module, base.modules, base.name)
    out, into = base.modules[module]
    for half, tensor, expected in (("A", down, (lora.rank, into)), ("B", up, (out, lora.rank))):
        if tensor.shape != expected:
            raise InvalidAdapter(
                f"{module} lora_{half} has the shape {list(tensor.shape)}; "
                f"rank {lora.rank} on the base {base.name} needs {list(expected)}.",
                "It was trained for another base or with another rank, or saved from one shard only.",
            )
        if tensor.dtype not in FLOATS:
            raise InvalidAdapter(
                f"{module} lora_{half} is {tensor.dtype}; one of {', '.join(FLOATS)} was expected.", "Save it as bf16."
            )


def _prove_targets(pairs: Pairs, lora: LoraConfig, document: dict[str, Any], base: BaseModel) -> None:
    """Prove that the layers which the adapter has are those that its configuration names.

    PEFT loads what the configuration names, vLLM and llama.cpp what the file has: where the two differ, so do answers.
    """
    targets, excluded = document["target_modules"], document.get("exclude_modules")
    layers, pattern = document.get("layers_to_transform"), document.get("layers_pattern")
    if isinstance(targets, str) or isinstance(excluded, str) or pattern:
        return  # patterns of a stranger are never run: what the file has is what counts
    numbers = _layer_numbers(layers)
    named = tuple(f".{target}" for target in lora.target_modules)
    left_out = tuple(f".{name}" for name in excluded or () if isinstance(name, str))

    def meant(module: str) -> bool:
        dotted = f".{module}"
        here = re.match(r".*\.[^.]*\.(\d+)\.", module)  # as PEFT finds it (peft/tuners/tuners_utils.py)
        return (
            dotted.endswith(named)
            and not dotted.endswith(left_out)
            and (numbers is None or (here is not None and int(here[1]) in numbers))
        )

    extra = [module for module in pairs if not meant(module)]
    if extra:
        raise InvalidAdapter(
            f"The adapter changes {extra[0]}, which its target_modules do not name; PEFT would leave that out.",
            "Save it again with the configuration that it was trained with.",
        )
    missing = [module for module in base.modules if meant(module) and module not in pairs]
    if missing:
        raise InvalidAdapter(
            f"The adapter lacks {len(missing)} of the layers that its target_modules name, {missing[0]} first.",
            "It was saved incompletely.",
        )


def _layer_numbers(layers: Any) -> frozenset[int] | None:
    """The numbers in layers_to_transform; None where every layer is meant."""
    if layers is None or layers == []:
        return None
    numbers = [layers] if type(layers) is int else layers
    if not isinstance(numbers, list) or not all(type(number) is int for number in numbers):
        raise InvalidAdapter(
            f"layers_to_transform is {shown(str(layers))}; numbers of layers were expected.", "Write [0, 1, 2]."
        )
    return frozenset(numbers)
