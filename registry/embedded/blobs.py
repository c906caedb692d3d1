"""Blobs: content-addressed files on a disk, each written whole or not at all."""

import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from registry.canonical import CHUNK
from registry.errors import Corrupted
from registry.files import FileEntry, safe_path

OnBytes = Callable[[int], None] | None


class Blobs:
    """A folder with one read-only file for each content, under ``sha256/<2 hex>/<62 hex>``.

    New content is first staged: copied into a folder of its own, hashed on the way and synced. ``keep`` then renames
    it into place. A kill in between leaves a staging folder whose lock is free; the next ``stage`` removes it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._staging = root / "staging"
        self._staging.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def stage(self) -> Iterator[Path]:
        """A private folder for content that is not yet kept; removed at the end, with all that is still in it."""
        self._sweep()
        folder = self._staging / uuid.uuid4().hex
        lock = folder.with_suffix(".lock")
        with FileLock(lock):
            folder.mkdir()
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)

    def copy_in(self, source: Path, staged: Path, path: str, on_bytes: OnBytes = None) -> FileEntry:
        """Copy ``source`` to ``staged / path`` in one pass: read, hash, write, sync."""
        target = staged / safe_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        size, digest = _copy(source, target, on_bytes)
        return FileEntry(path, size, digest)

    def keep(self, staged: Path, entries: tuple[FileEntry, ...]) -> None:
        """Give staged files their place by content; content that is already there is not written twice."""
        for entry in entries:
            target = self.path(entry.digest)
            if target.exists():
                continue
            file = staged / entry.path
            file.chmod(0o444)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
            _sync_folder(target.parent)

    def copy_out(self, entry: FileEntry, target: Path, on_bytes: OnBytes = None) -> None:
        """Copy a blob to ``target`` and prove its content on the way.

        A copy, not a link: whoever edits the file outside must not change the registry.

        Raises:
            Corrupted: the blob is missing or has other bytes than its name says.
        """
        blob = self.path(entry.digest)
        if not blob.is_file():
            raise Corrupted(f"The content {entry.digest[:19]}… of {entry.path} is missing from the registry.")
        target.parent.mkdir(parents=True, exist_ok=True)
        _size, digest = _copy(blob, target, on_bytes)
        if digest != entry.digest:
            target.unlink()
            raise Corrupted(f"The content {entry.digest[:19]}… of {entry.path} was changed on the registry's disk.")

    def path(self, digest: str) -> Path:
        """Where content of this digest is, or would be."""
        hexadecimal = digest.removeprefix("sha256:")
        return self.root / "sha256" / hexadecimal[:2] / hexadecimal[2:]

    def _sweep(self) -> None:
        for lock in self._staging.glob("*.lock"):
            try:
                with FileLock(lock, timeout=0):
                    shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                    lock.unlink(missing_ok=True)
            except Timeout:
                continue  # somebody is pushing


@contextmanager
def folder_made_whole(target: Path) -> Iterator[Path]:
    """A temporary folder beside ``target`` that takes its name at the end, or is removed on any error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield folder
        folder.chmod(0o755)
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _copy(source: Path, target: Path, on_bytes: OnBytes) -> tuple[int, str]:
    state, size = hashlib.sha256(), 0
    with source.open("rb") as reader, target.open("wb") as writer:
        while piece := reader.read(CHUNK):
            state.update(piece)
            writer.write(piece)
            size += len(piece)
            if on_bytes:
                on_bytes(len(piece))
        writer.flush()
        os.fsync(writer.fileno())
    return size, "sha256:" + state.hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
