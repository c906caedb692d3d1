"""Room on the disk: asked for before the work, and one line when it runs out all the same."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from export.errors import DiskFull
from registry.console import format_size

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
FULL_TEXTS = ("No space left on device", "Disk quota exceeded", "File too large")
"""How the same errors read where only a message is left of them (safetensors, a child process)."""


def require_space(folder: Path, needed: int) -> None:
    """Prove that the disk of ``folder`` has ``needed`` bytes free.

    Raises:
        DiskFull: it has not.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DiskFull(
            f"The export needs about {format_size(needed)} on the disk of {folder}; {format_size(free)} are free.",
            "Make room, or set ADAPTORY_HOME to a folder on another disk.",
        )


def says_full(text: str) -> bool:
    """Whether a message is of a full disk."""
    return any(full in text for full in FULL_TEXTS)


@contextmanager
def disk_full_in_one_line(folder: Path) -> Iterator[None]:
    """Turn the errors of a full disk into ``DiskFull``; every other error passes."""
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:
        if (isinstance(error, OSError) and error.errno in FULL) or says_full(str(error)):
            raise DiskFull(
                f"The disk of {folder} is full; nothing was kept.",
                "Make room, or set ADAPTORY_HOME to a folder on another disk.",
            ) from error
        raise
