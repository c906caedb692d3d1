"""What the disk and SHA-256 allow: reading bytes once, hashing and writing them one after the other, and one fsync.

Imports nothing but the standard library: the peers' own environments use it too.
"""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

PIECE = 1 << 20


def timed(work: Callable[[], object]) -> float:
    """Seconds that something takes, after everything that others wrote has reached the disk."""
    os.sync()
    return seconds(work)


def seconds(work: Callable[[], object]) -> float:
    """Seconds that something takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def floor(source: Path, target: Path) -> float:
    """Seconds for the bytes of ``source``: sha256 + write + fsync."""

    def work() -> None:
        state = hashlib.sha256()
        with source.open("rb") as reader, target.open("wb") as writer:
            while piece := reader.read(PIECE):
                state.update(piece)
                writer.write(piece)
            writer.flush()
            os.fsync(writer.fileno())

    taken = timed(work)
    target.unlink()
    return taken
