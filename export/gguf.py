"""GGUF: a Hugging Face folder becomes one file, by llama.cpp's converter and quantiser, each in its own process."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from export.child import run_child
from export.converter import SCRIPT
from registry.optional import require

PLAIN = ("bf16", "f16")
"""What the converter writes itself."""


def convert(
    *, model: Path, target: Path, dtype: str, name: str, converter: Path, on_bytes: Callable[[int], None] | None = None
) -> None:
    """Write the weights as they are, in 16 bits.

    Args:
        model: Hugging Face folder.
        target: the file.
        dtype: ``bf16`` or ``f16``.
        name: what the file says it is.
        converter: folder of ``ensure_converter``.
        on_bytes: hears how much was written.

    Raises:
        ConversionFailed: the converter does not know the model, or gave up.
    """
    arguments = [str(model), "--outfile", str(target), "--outtype", dtype, "--model-name", name]
    command = [sys.executable, str(converter / SCRIPT), *arguments]
    run_child(command, what="llama.cpp's converter", output=target, on_bytes=on_bytes)


def quantise(*, source: Path, target: Path, quant: str, on_bytes: Callable[[int], None] | None = None) -> None:
    """Quantise a 16-bit GGUF; in a process of its own, so that a crash costs a line and Ctrl-C stops it.

    Raises:
        ConversionFailed: llama.cpp gave up.
    """
    # -P: a folder named export where the person stands must not be imported instead.
    command = [sys.executable, "-P", "-m", "export.quantise_process", str(source), str(target), quant]
    run_child(command, what=f"llama.cpp's quantiser ({quant})", output=target, on_bytes=on_bytes)


def open_gguf(file: Path) -> Any:
    """The package's reader; it maps the file and reads no weights.

    Raises:
        MissingPackage: the package ``gguf`` is not installed.
    """
    require("export", {"gguf": "gguf"})
    from gguf import GGUFReader

    return GGUFReader(file)


def tensor_types(file: Path) -> dict[str, int]:
    """How many tensors have which type, the most frequent first: ``{"Q5_0": 150, "F32": 61, "Q8_0": 61}``.

    K-quants need rows of a multiple of 256 values; other rows fall back to a type of blocks of 32, silently.
    """
    return dict(Counter(tensor.tensor_type.name for tensor in open_gguf(file).tensors).most_common())
