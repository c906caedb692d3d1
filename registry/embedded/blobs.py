"""Blobs: content-addressed files on a disk, each written whole or not at all."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from registry.canonical import CHUNK, digest_file
from registry.embedded.blob_store import OnBytes
from registry.embedded.staging import Staging, copy_file, copy_in
from registry.errors import Corrupted
from registry.files import FileEntry


class Blobs:
    """A folder with one read-only file for each content, under ``sha256/<2 hex>/<62 hex>``.

    New content is first staged: copied into a folder of its own, hashed on the way and synced. ``keep`` then renames
    it into place. A kill in between leaves a staging folder whose lock is free; the next ``stage`` removes it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._staging = Staging(root / "staging")

    def stage(self) -> AbstractContextManager[Path]:
        """A private folder for content that is not yet kept; removed at the end, with all that is still in it."""
        return self._staging.stage()

    def copy_in(self, source: Path, staged: Path, path: str, on_bytes: OnBytes = None) -> FileEntry:
        """Copy ``source`` to ``staged / path`` in one pass: read, hash, write, sync."""
        return copy_in(source, staged, path, on_bytes)

    def keep(
        self,
        staged: Path,
        entries: tuple[FileEntry, ...],
        on_bytes: OnBytes = None,  # noqa: ARG002 - renaming takes no time: the bytes were heard of in copy_in
    ) -> None:
        """Give staged files their place by content.

        Content that is there already is replaced by its fresh copy: garbage collection, which goes by age, then
        leaves it to the push that needs it now, and a copy that has rotted is whole again.
        """
        for entry in entries:
            target, file = self.path(entry.digest), staged / entry.path
            file.chmod(0o444)
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(file, staged, target)
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
        _size, digest = copy_file(blob, target, on_bytes)
        if digest != entry.digest:
            target.unlink()
            raise Corrupted(f"The content {entry.digest[:19]}… of {entry.path} was changed on the registry's disk.")

    def read(self, digest: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from ``start`` up to ``stop``, in pieces of at most 1 MiB, not proved.

        Raises:
            Corrupted: the content is missing; at once, not with the first piece.
        """
        size = self.size(digest)
        if size is None:
            raise Corrupted(f"The content {digest[:19]}… is missing from the registry.")
        return _pieces(self.path(digest), start, size if stop is None else min(stop, size))

    def size(self, digest: str) -> int | None:
        """Bytes of this content, None where it is not kept."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return None

    def digests(self) -> Iterator[tuple[str, int, datetime]]:
        """All content, in no order: digest, bytes, and when it was last kept (UTC)."""
        for file in (self.root / "sha256").glob("??/*"):
            try:
                state = file.stat()
            except FileNotFoundError:
                continue  # removed meanwhile
            modified = datetime.fromtimestamp(state.st_mtime, UTC)
            yield f"sha256:{file.parent.name}{file.name}", state.st_size, modified

    def remove(self, digest: str) -> None:
        """Take content away for good; what is not there is no error."""
        self.path(digest).unlink(missing_ok=True)

    def check(self, digest: str, on_bytes: OnBytes = None) -> bool:
        """Whether the content is there and still hashes to its name; reads all of it."""
        try:
            return digest_file(self.path(digest), on_bytes) == digest
        except FileNotFoundError:
            return False

    def url(self, digest: str, seconds: int) -> str | None:  # noqa: ARG002 - a folder gives no URLs
        """None: who may read a folder reads it."""
        return None

    def path(self, digest: str) -> Path:
        """Where content of this digest is, or would be."""
        hexadecimal = digest.removeprefix("sha256:")
        return self.root / "sha256" / hexadecimal[:2] / hexadecimal[2:]


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


def _pieces(file: Path, start: int, stop: int) -> Iterator[bytes]:
    with file.open("rb") as reader:
        reader.seek(start)
        while start < stop and (piece := reader.read(min(CHUNK, stop - start))):
            start += len(piece)
            yield piece


def _link(file: Path, staged: Path, target: Path) -> None:
    """Let ``target`` be ``file``, whatever was there; ``file`` stays too where the file system has hard links."""
    spare = staged / uuid.uuid4().hex
    try:
        spare.hardlink_to(file)
    except OSError:
        file.replace(target)
    else:
        spare.replace(target)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
