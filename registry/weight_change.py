"""How far adapters change the weights of each layer, and how far two of them are apart.

A LoRA layer adds ``s·B·A`` to the base's weights, with ``A`` of shape (rank, in), ``B`` of shape (out, rank) and the
scaling ``s = alpha / rank``, or ``alpha / sqrt(rank)`` with rsLoRA (arXiv:2312.03732). The norm that is meant is
Frobenius': the root of the sum of squares of all elements. With the thin QR decompositions ``B = Q₁·R₁`` and
``Aᵀ = Q₂·R₂`` it is

    ‖s·B·A‖ = s·‖Q₁·R₁·R₂ᵀ·Q₂ᵀ‖ = s·‖R₁·R₂ᵀ‖

because ``Q₁`` and ``Q₂`` keep norms: a matrix of rank × rank instead of out × in. The difference of two adapters has
factors too, ``[s₁·B₁, -s₂·B₂]`` and ``[A₁; A₂]``, and so the same formula. QR, and not the Gram matrices ``BᵀB`` and
``A·Aᵀ``, because squares would lose half of the digits where the two adapters are nearly equal.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.errors import InvalidAdapter
from registry.manifest import LoraConfig
from registry.run_folder import WEIGHTS
from registry.safetensors_header import Tensor, read_header

if TYPE_CHECKING:
    import numpy as np

_PREFIX, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"


@dataclass(frozen=True, slots=True)
class WeightChange:
    """What two adapters do to one layer.

    Attributes:
        module: the base's layer.
        first: norm of what the first adapter adds to it, 0 where it leaves the layer alone.
        second: norm of what the second adds.
        difference: norm of the first's minus the second's.
    """

    module: str
    first: float
    second: float
    difference: float

    @property
    def relative(self) -> float:
        """The difference as a share of the larger norm: 0 for the same change, 1.4 for unrelated ones, 2 at most."""
        return self.difference / (max(self.first, self.second) or 1.0)


def weight_changes(
    first: Path, first_lora: LoraConfig, second: Path, second_lora: LoraConfig
) -> Iterator[WeightChange]:
    """Compare two adapters layer by layer, by module; memory is bounded by the largest layer's four factors.

    Args:
        first: folder with the first adapter's ``adapter_model.safetensors``.
        first_lora: its configuration.
        second: folder of the second.
        second_lora: its configuration.

    Raises:
        InvalidAdapter: a file is no adapter's, or the two change a layer of different shapes.
    """
    sides = [_Side(first / WEIGHTS, first_lora), _Side(second / WEIGHTS, second_lora)]
    for module in sorted(sides[0].modules | sides[1].modules):
        yield _compare(module, *(side.factors(module) for side in sides))


def scaling(lora: LoraConfig) -> float:
    """The factor before ``B·A``."""
    return float(lora.alpha / (lora.rank**0.5 if lora.use_rslora else lora.rank))


class _Side:
    """One adapter's tensors, read from disk when they are asked for."""

    def __init__(self, file: Path, lora: LoraConfig) -> None:
        self._file = file
        self._scale = scaling(lora)
        self._tensors = read_header(file)
        self.modules = {
            name.removeprefix(_PREFIX).removesuffix(_DOWN) for name in self._tensors if name.endswith(_DOWN)
        }

    def factors(self, module: str) -> "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]] | None":
        """``s·B`` and ``A`` as float64; None where the adapter leaves the module alone."""
        if module not in self.modules:
            return None
        down, up = (self._tensors.get(f"{_PREFIX}{module}{end}") for end in (_DOWN, _UP))
        if down is None or up is None or len(down.shape) != 2 or up.shape[1:] != down.shape[:1]:
            raise InvalidAdapter(f"{module} has no pair of LoRA factors that fit each other.")
        return _read(self._file, up) * self._scale, _read(self._file, down)


def _compare(module: str, first: Any, second: Any) -> WeightChange:
    import numpy as np

    norms = [norm(*factors) if factors else 0.0 for factors in (first, second)]
    if first is None or second is None:
        return WeightChange(module, norms[0], norms[1], max(norms))
    if first[0].shape[0] != second[0].shape[0] or first[1].shape[1] != second[1].shape[1]:
        raise InvalidAdapter(f"The two adapters change {module} in different shapes: their bases differ.")
    if all(np.array_equal(one, other) for one, other in zip(first, second, strict=True)):
        return WeightChange(module, norms[0], norms[1], 0.0)
    apart = norm(np.hstack([first[0], -second[0]]), np.vstack([first[1], second[1]]))
    return WeightChange(module, norms[0], norms[1], apart)


def norm(up: "np.ndarray[Any, Any]", down: "np.ndarray[Any, Any]") -> float:
    """``‖up·down‖`` without forming the product; shapes (out, rank) and (rank, in)."""
    import numpy as np

    left, right = (np.asarray(np.linalg.qr(factor, mode="r")) for factor in (up, down.T))
    return float(np.linalg.norm(left @ right.T))


def _read(file: Path, tensor: Tensor) -> "np.ndarray[Any, Any]":
    import numpy as np

    types = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
    if tensor.dtype not in types:
        raise InvalidAdapter(f"{tensor.name} is {tensor.dtype}; one of {', '.join(types)} was expected.")
    dtype = np.dtype(types[tensor.dtype])
    values = np.fromfile(file, dtype=dtype, count=tensor.size // dtype.itemsize, offset=tensor.start)
    if tensor.dtype == "BF16":  # the upper half of a float32
        values = (values.astype("<u4") << 16).view("<f4")
    return values.astype(np.float64).reshape(tensor.shape)
