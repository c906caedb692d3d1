"""The one pass over an adapter's values: nothing that is no number, and a change that is not zero.

Memory is bounded by one piece of 1 MiB, however large the adapter is.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from registry.errors import InvalidAdapter
from registry.safetensors_header import Tensor

if TYPE_CHECKING:
    import numpy as np

Pairs = dict[str, tuple[Tensor, Tensor]]

PIECE = 1 << 20
"""Bytes looked at in one go: they stay in the processor's cache; 16 MiB took 8 times as long (measured)."""

# dtype -> (numpy's type of the same width, mask of everything but the sign, smallest pattern that is no number in bf16)
FLOATS = {
    "F32": ("<u4", 0x7FFF_FFFF, 0x7F7F_8000),  # from there on a number is rounded to infinity
    "BF16": ("<u2", 0x7FFF, 0x7F80),
    "F16": ("<u2", 0x7FFF, 0x7C00),
}

NOISE = 1e-9
"""A product that is this small beside its terms is their rounding: the terms cancel."""

SMALLEST = 2.0**-126
"""The smallest normal number of fp32 and bf16: what is below is zero in every engine."""


def prove_values(file: Path, pairs: Pairs) -> None:
    """Prove that every value is a number that bf16 has, and that in some layer B·A is not zero.

    Args:
        file: a safetensors file whose header was proved.
        pairs: layer -> its A (rank, in) and B (out, rank), of a dtype in ``FLOATS``.

    Raises:
        InvalidAdapter: a value is NaN, infinite or too large, or the adapter changes nothing.
    """
    changes = False
    with file.open("rb", buffering=0) as stream:
        for layer, (down, up) in pairs.items():
            nonzero = [_scan(stream, tensor, layer) for tensor in (down, up)]
            changes = changes or (all(nonzero) and _product_is_not_zero(stream, down, up))
    if not changes:
        raise InvalidAdapter(
            "The adapter changes nothing: in every layer A, B or their product is zero.", "Train it first."
        )


def _scan(stream: BinaryIO, tensor: Tensor, layer: str) -> bool:
    """Whether any value is not zero."""
    _, magnitude, limit = FLOATS[tensor.dtype]
    largest = 0
    for values in _pieces(stream, tensor, PIECE):
        largest = max(largest, int((values & magnitude).max()))
        if largest >= limit:
            raise InvalidAdapter(
                f"{layer} holds NaN, infinity or a number too large for bf16, in which engines compute.",
                "The training diverged; lower the learning rate.",
            )
    return largest > 0


def _product_is_not_zero(stream: BinaryIO, down: Tensor, up: Tensor) -> bool:
    """Whether B·A is a change: by its effect on one random vector, which only a zero product sends to zero."""
    import numpy as np

    probe = np.random.default_rng(0).uniform(0.5, 1.0, down.shape[1])
    inner = np.concatenate([rows @ probe for rows in _rows(stream, down)])
    for rows in _rows(stream, up):
        effect, terms = np.abs(rows @ inner), np.abs(rows) @ np.abs(inner)
        if ((effect > NOISE * terms) & (effect > SMALLEST)).any():
            return True
    return False


def _rows(stream: BinaryIO, tensor: Tensor) -> Iterator["np.ndarray"]:
    """Rows of a matrix as float64, as many as fit a piece and one at least."""
    import numpy as np

    width = tensor.shape[1]
    stride = tensor.size // tensor.shape[0]
    for raw in _pieces(stream, tensor, max(1, PIECE // stride) * stride):
        floats = raw.view("<f2" if tensor.dtype == "F16" else raw.dtype)
        if tensor.dtype == "BF16":
            floats = (raw.astype("<u4") << 16).view("<f4")
        elif tensor.dtype == "F32":
            floats = raw.view("<f4")
        yield floats.astype(np.float64).reshape(-1, width)


def _pieces(stream: BinaryIO, tensor: Tensor, piece: int) -> Iterator["np.ndarray"]:
    """The tensor's bits, in order, as unsigned integers.

    Raises:
        InvalidAdapter: the file has become shorter since its header was read.
    """
    import numpy as np

    stream.seek(tensor.start)
    left = tensor.size
    buffer = bytearray(min(piece, left))
    while left:
        view = memoryview(buffer)[: min(piece, left)]
        if stream.readinto(view) != len(view):  # type: ignore[attr-defined] # a raw file has it
            raise InvalidAdapter("The adapter's file changed while it was read.", "Push it again.")
        yield np.frombuffer(view, dtype=FLOATS[tensor.dtype][0])
        left -= len(view)
