"""The header of a safetensors file, read with suspicion: bounded, without duplicates, every byte accounted for.

Format: 8 bytes little-endian header length, JSON header, data
(https://huggingface.co/docs/safetensors/index#format).
"""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.errors import InvalidAdapter
from registry.refs import shown

MAX_HEADER = 16 << 20
"""Bytes. An adapter on every linear layer of a 100-layer model needs about 0.2 MiB."""

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


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


def read_header(file: Path) -> dict[str, Tensor]:
    """Read the header and prove that the tensors fill the file exactly, without gap or overlap.

    Raises:
        InvalidAdapter: the file is not such a file.
    """
    with file.open("rb") as stream:
        prefix = stream.read(8)
        length = int.from_bytes(prefix, "little")
        total = os.fstat(stream.fileno()).st_size
        if len(prefix) < 8 or length > total - 8:
            raise InvalidAdapter(f"{file.name} is truncated: it ends before its header does.", "Save it again.")
        if length > MAX_HEADER:
            raise InvalidAdapter(f"{file.name} has a header of {length} bytes; {MAX_HEADER} are the limit.")
        document = _parse(file.name, stream.read(length))
    document.pop("__metadata__", None)
    tensors = [_tensor(file.name, name, entry, 8 + length) for name, entry in document.items()]
    _prove_full(file.name, tensors, 8 + length, total)
    return {tensor.name: tensor for tensor in tensors}


def _parse(file: str, raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) != len(pairs):
            raise InvalidAdapter(f"{file} names a tensor or key twice in its header.")
        return document

    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=unique)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InvalidAdapter(f"{file} is no safetensors file: its header is not JSON.") from error
    if not isinstance(document, dict):
        raise InvalidAdapter(f"{file} is no safetensors file: its header is not an object.")
    return document


def _tensor(file: str, name: str, entry: Any, data_start: int) -> Tensor:
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(start), int(end)]} if dtype in BYTES:
            if all(type(size) is int and size >= 0 for size in shape) and 0 <= start <= end:
                if end - start == BYTES[dtype] * math.prod(shape):
                    return Tensor(name, dtype, tuple(shape), data_start + start, end - start)
                raise InvalidAdapter(f"{file}: {shown(name)} has {end - start} bytes: not what its shape needs.")
    raise InvalidAdapter(f"{file}: the entry of {shown(name)} is no tensor of a known dtype.")


def _prove_full(file: str, tensors: list[Tensor], start: int, total: int) -> None:
    for tensor in sorted(tensors, key=lambda tensor: (tensor.start, tensor.size)):
        if tensor.start != start:
            raise InvalidAdapter(f"{file}: the bytes of {shown(tensor.name)} overlap others or leave a gap.")
        start += tensor.size
    if start != total:
        kind = "truncated" if start > total else "too long"
        raise InvalidAdapter(f"{file} is {kind}: its header describes {start} bytes, it has {total}.", "Save it again.")
