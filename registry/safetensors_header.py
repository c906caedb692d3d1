"""The header of a safetensors file, read with suspicion: bounded, without duplicates, every byte accounted for.

Format: 8 bytes little-endian header length, JSON header, data
(https://huggingface.co/docs/safetensors/index#format).
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.errors import InvalidAdapter
from registry.refs import shown
from registry.strict_json import AGAIN, read_object

MAX_HEADER = 16 << 20
"""Bytes. safetensors itself stops at 100 MB. Parsed, JSON takes up to 25 times its bytes of memory, so that whoever
knows how many tensors there can be gives a lower limit: ``header_limit``."""

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}

LARGEST = 1 << 48
"""Bytes or values: more than any file has."""

OTHERS = {
    b"PK\x03\x04": "a pickle that was renamed (PyTorch's zip format), which can run code",
    b"\x80\x02": "a pickle that was renamed, which can run code",
    b"\x80\x03": "a pickle that was renamed, which can run code",
    b"\x80\x04": "a pickle that was renamed, which can run code",
    b"\x80\x05": "a pickle that was renamed, which can run code",
    b"GGUF": "a GGUF",
    b"\x93NUMPY": "a NumPy array",
    b"version ": "a Git LFS pointer; git lfs pull fetches the file",
    b"<!DOCTYP": "a web page; the download failed",
    b"<html": "a web page; the download failed",
}
"""First bytes of what people take for a safetensors file -> what it is.

None of them is a header's length below the limit, but the pickles: those are looked at only where no header follows.
"""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where one tensor lies.

    Attributes:
        name: as in the header.
        dtype: ``F32``, ``BF16``, ...
        shape: sizes of the dimensions.
        start: offset of the first byte in the file.
        size: bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int


def header_limit(tensors: int) -> int:
    """Bytes that a header with so many tensors and a good deal of metadata may take."""
    return min(MAX_HEADER, (1 << 18) + 512 * tensors)


def read_header(file: Path, limit: int = MAX_HEADER) -> dict[str, Tensor]:
    """Read the header and prove that the tensors fill the file exactly, without gap or overlap.

    Memory is bounded by ``limit`` whatever the file claims: nothing is read before its size is known to be below.

    Args:
        file: a regular file.
        limit: bytes that the header may have.

    Raises:
        InvalidAdapter: the file is not such a file.
    """
    with file.open("rb") as stream:
        prefix = stream.read(9)
        length = int.from_bytes(prefix[:8], "little")
        total = os.fstat(stream.fileno()).st_size
        if prefix[8:] != b"{":
            _refuse_other(file.name, prefix)
        if len(prefix) < 8 or length > total - 8:
            raise InvalidAdapter(f"{file.name} is truncated: it ends before its header does.", AGAIN)
        if length > limit:
            raise InvalidAdapter(
                f"{file.name} has a header of {length} bytes; {limit} are the limit for this base.",
                "Save the adapter alone, without long metadata.",
            )
        stream.seek(8)
        raw = stream.read(length)
    if raw[:1] != b"{":
        raise InvalidAdapter(f"{file.name} is no safetensors file: its header does not begin with an object.", AGAIN)
    document = read_object(raw, f"The header of {file.name}")
    _prove_metadata(file.name, document.pop("__metadata__", None))
    tensors = [_tensor(file.name, name, entry, 8 + length) for name, entry in document.items()]
    _prove_full(file.name, tensors, 8 + length, total)
    return {tensor.name: tensor for tensor in tensors}


def _refuse_other(file: str, prefix: bytes) -> None:
    for magic, other in OTHERS.items():
        if prefix.startswith(magic):
            raise InvalidAdapter(f"{file} is no safetensors file but {other}.", "Save it with safe_serialization=True.")


def _prove_metadata(file: str, metadata: Any) -> None:
    """The format allows texts only, and the library refuses anything else."""
    if metadata is None:
        return
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InvalidAdapter(f"{file} has metadata that are not texts; the library would refuse the file.", AGAIN)


def _tensor(file: str, name: str, entry: Any, data_start: int) -> Tensor:
    if isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}:
        dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
        if isinstance(dtype, str) and dtype in BYTES and _sizes(shape) and _sizes(offsets) and len(offsets) == 2:
            start, end = offsets
            if end - start == BYTES[dtype] * math.prod(shape):
                return Tensor(name, dtype, tuple(shape), data_start + start, end - start)
            raise InvalidAdapter(f"{file}: {shown(name)} has {end - start} bytes: not what its shape needs.", AGAIN)
    raise InvalidAdapter(
        f"{file}: the entry of {shown(name)} is no tensor of a known dtype and of possible sizes.", AGAIN
    )


def _sizes(numbers: Any) -> bool:
    """Whether it is a list of a few sizes that a file can have."""
    return (
        isinstance(numbers, list)
        and len(numbers) <= 8
        and all(type(number) is int and 0 <= number <= LARGEST for number in numbers)
    )


def _prove_full(file: str, tensors: list[Tensor], start: int, total: int) -> None:
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.size)):
        if tensor.start != start:
            raise InvalidAdapter(f"{file}: the bytes of {shown(tensor.name)} overlap others or leave a gap.", AGAIN)
        start += tensor.size
    if start != total:
        kind = "truncated" if start > total else "too long"
        raise InvalidAdapter(f"{file} is {kind}: its header describes {start} bytes, it has {total}.", AGAIN)
