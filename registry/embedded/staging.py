"""Staging: private folders in which a push's files are copied and proved before anything keeps them."""

import errno
import hashlib
import os
import shutil
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

from registry.canonical import CHUNK
from registry.embedded.blob_store import OnBytes
from registry.errors import Unavailable
from registry.files import FileEntry, safe_path

SYNC_EACH = 32 << 20
"""Bytes after which what was written so far is sent to the disk."""

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.ESTALE})
"""Errors that name no file where they come from a write."""

BEHIND = 8
"""Pieces that may wait for the disk: 8 MiB of memory."""


class Staging:
    """A folder of such folders, each under a lock; the next ``stage`` removes those whose process was killed."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """A private folder, removed at the end with all that is still in it.

        Raises:
            Unavailable: the disk is full, broken or away, here or in what is done inside.
        """
        with _disk_told(self.root.parent):
            self.root.mkdir(parents=True, exist_ok=True)
            self._sweep()
            with self._folder() as folder:
                yield folder

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        folder = self.root / uuid.uuid4().hex
        lock = folder.with_suffix(".lock")
        with FileLock(lock):
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def _sweep(self) -> None:
        for lock in self.root.glob("*.lock"):
            try:
                with FileLock(lock, timeout=0):
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    lock.unlink(missing_ok=True)
            except Timeout:
                continue  # somebody is pushing


@contextmanager
def _disk_told(root: Path) -> Iterator[None]:
    """Tell errors of the disk below ``root``, or of the disk as such, in one line; others pass."""
    try:
        yield
    except OSError as error:
        below = error.filename is not None and Path(error.filename).is_relative_to(root)
        if not below and error.errno not in DISK_ERRORS:
            raise
        told = f"The registry's disk at {root} does not take this: {error.strerror}."
        raise Unavailable(told, "Free space or bring the disk back, and try again.") from error


def copy_in(source: Path, staged: Path, path: str, on_bytes: OnBytes = None) -> FileEntry:
    """Copy ``source`` to ``staged / path`` in one pass: read, hash, write, sync."""
    target = staged / safe_path(path)
    if target.parent != staged:  # which has to be there: a folder that went away is not made again
        target.parent.mkdir(parents=True, exist_ok=True)
    size, digest = copy_file(source, target, on_bytes)
    return FileEntry(path, size, digest)


def copy_file(source: Path, target: Path, on_bytes: OnBytes = None) -> tuple[int, str]:
    """Copy a file and sync it; returns its bytes and their ``sha256:<hex>``."""
    with source.open("rb") as reader:
        return write_file(iter(lambda: reader.read(CHUNK), b""), target, on_bytes)


def write_file(pieces: Iterator[bytes], target: Path, on_bytes: OnBytes = None) -> tuple[int, str]:
    """Write a file from pieces and sync it; returns its bytes and their ``sha256:<hex>``.

    The disk works in a thread of its own while this one hashes: together they take as long as the slower of the two.
    """
    state, size = hashlib.sha256(), 0
    with target.open("wb") as writer, ThreadPoolExecutor(1) as disk:
        pending: deque[Future[None]] = deque()
        for piece in pieces:
            size += len(piece)
            pending.append(disk.submit(_write, writer, piece, sync=size % SYNC_EACH < len(piece)))
            state.update(piece)
            if len(pending) > BEHIND:
                pending.popleft().result()
            if on_bytes:
                on_bytes(len(piece))
        for written in pending:
            written.result()
        writer.flush()
        os.fsync(writer.fileno())
    return size, "sha256:" + state.hexdigest()


def _write(writer: BinaryIO, piece: bytes, *, sync: bool) -> None:
    writer.write(piece)
    if sync:  # early, so that the last sync has little left to wait for
        writer.flush()
        os.fdatasync(writer.fileno())
