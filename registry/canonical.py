"""Canonical JSON and digests: one document, one sequence of bytes, one SHA-256."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

CHUNK = 1 << 20


def canonical_json(document: Any) -> bytes:
    """Encode with sorted keys, no spaces, UTF-8 and no NaN, so that equal documents have equal bytes.

    Raises:
        ValueError: the document holds NaN or an infinity.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def digest_bytes(data: bytes) -> str:
    """``sha256:<hex>`` of some bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_document(document: Any) -> str:
    """``sha256:<hex>`` of a document's canonical JSON."""
    return digest_bytes(canonical_json(document))


def digest_stream(stream: BinaryIO, on_bytes: Callable[[int], None] | None = None) -> str:
    """``sha256:<hex>`` of a stream, read in pieces of 1 MiB; ``on_bytes`` hears the size of each piece."""
    state = hashlib.sha256()
    while piece := stream.read(CHUNK):
        state.update(piece)
        if on_bytes:
            on_bytes(len(piece))
    return "sha256:" + state.hexdigest()


def digest_file(path: Path, on_bytes: Callable[[int], None] | None = None) -> str:
    """``sha256:<hex>`` of a file's content."""
    with path.open("rb") as stream:
        return digest_stream(stream, on_bytes)
