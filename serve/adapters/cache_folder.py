"""The cache folder: which part of the machine's adapter cache belongs to this server."""

import itertools
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def claim(root: Path) -> Iterator[Path]:
    """The lowest numbered folder below ``root`` that no other server has, for as long as the context lasts.

    Servers share no folder, so none removes what another one uses, and no locks are held for single adapters; the
    price is a copy of an adapter for each server on the machine. The system frees the lock of a server that was
    killed, and the next start goes on with its folder. Folders that nobody has claimed otherwise are removed: the disk
    holds one cache for each server that runs.
    """
    root.mkdir(parents=True, exist_ok=True)
    for number in itertools.count():
        folder = root / str(number)
        try:
            with FileLock(_lock_of(folder), timeout=0):
                folder.mkdir(exist_ok=True)
                _remove_unclaimed(root, above=number)
                yield folder
                return
        except Timeout:
            continue


def _remove_unclaimed(root: Path, above: int) -> None:
    for folder in root.iterdir():
        if folder.name.isdecimal() and int(folder.name) > above:
            try:
                with FileLock(_lock_of(folder), timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
            except Timeout:
                continue


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")
