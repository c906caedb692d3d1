"""UploadFolder: content on its way in, as far as it has come."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from registry.canonical import digest_file
from registry.embedded.staging import copy_file
from registry.errors import Conflict, InvalidInput
from registry.files import FileEntry
from registry.server.errors import TooLarge

log = logging.getLogger(__name__)

MOST_FILES = 1000
"""Uploads of one key at once."""

KEPT_SECONDS = 24 * 3600.0
"""After so long without a byte an upload is removed."""


@dataclass(frozen=True, slots=True)
class Content:
    """What is being uploaded: its digest (``sha256:<hex>``) and its size in bytes."""

    digest: str
    size: int


class UploadFolder:
    """A folder for each key with a file for each content; nobody else's upload can be seen or spoiled.

    ``<hex>-<size>.part`` grows; when all is there and has the digest that it should have, it becomes ``<hex>-<size>``.
    """

    def __init__(self, root: Path, limit: int) -> None:
        """``limit`` is the most bytes that the uploads of one key may take together."""
        self._root = root
        self._limit = limit
        self._damaged: set[str] = set()

    def offset(self, owner: str, content: Content) -> int:
        """How many bytes are here."""
        for file in (self._whole(owner, content), self._part(owner, content)):
            if file.exists():
                return file.stat().st_size
        return 0

    def whole(self, owner: str, content: Content) -> bool:
        """Whether all of it is here, and proved."""
        return self._whole(owner, content).exists()

    @contextmanager
    def writing(self, owner: str, content: Content, offset: int) -> Iterator["Writer"]:
        """Append from ``offset`` on; what was written stays, however it ends.

        Raises:
            Conflict: another request writes it, or it is not that long.
            TooLarge: the key has too much on its way.
        """
        folder = self._root / owner
        folder.mkdir(parents=True, exist_ok=True)
        part, whole = self._part(owner, content), self._whole(owner, content)
        try:
            with ExitStack() as claim:
                with FileLock(folder / "room.lock"):  # who comes next finds this one's file, and counts it
                    self._prove_room(folder, content)
                    claim.enter_context(FileLock(part.with_suffix(".lock"), timeout=0, thread_local=False))
                    here = self.offset(owner, content)
                    if here != offset:
                        raise Conflict(f"The upload has {here} bytes, not {offset}.", "Go on where it ends.")
                    if not whole.exists():
                        part.touch()
                if whole.exists():
                    yield Writer(None, content, here)
                    return
                with part.open("ab") as stream:
                    writer = Writer(stream.fileno(), content, here)
                    yield writer
                    os.fsync(stream.fileno())
                if writer.offset == content.size:
                    self._complete(owner, content)
        except Timeout as error:
            raise Conflict("Another request sends this very content.", "Wait until it has ended.") from error

    def place(self, owner: str, entry: FileEntry, target: Path) -> bool:
        """Put what has come whole at ``target``; False where it has not."""
        file = self._whole(owner, Content(entry.digest, entry.size))
        if not file.exists():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, target)
        except OSError:  # another file system
            copy_file(file, target)
        os.utime(target)  # garbage collection goes by age
        return True

    def discard(self, owner: str, entries: tuple[FileEntry, ...]) -> None:
        """Forget uploads that were taken, and that they were wanted."""
        for entry in entries:
            self._damaged.discard(entry.digest)
            self._whole(owner, Content(entry.digest, entry.size)).unlink(missing_ok=True)

    def wants(self, digest: str) -> bool:
        """Whether the kept content of this digest was found damaged, so that it has to be sent though it is kept."""
        return digest in self._damaged

    def want(self, digest: str) -> None:
        """Have content sent again."""
        self._damaged.add(digest)

    def sweep(self) -> None:
        """Remove what nobody has gone on with."""
        for file in self._root.glob("*/*"):
            try:
                if time.time() - file.stat().st_mtime > KEPT_SECONDS:
                    file.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                log.warning("An upload that nobody goes on with stays: %s", error)

    def _complete(self, owner: str, content: Content) -> None:
        part = self._part(owner, content)
        if digest_file(part) != content.digest:
            part.unlink()
            raise InvalidInput(
                f"What came is not the content {content.digest[:19]}….", "Send it again, from the start."
            )
        part.rename(self._whole(owner, content))

    def _prove_room(self, folder: Path, content: Content) -> None:
        others = {file.name.removesuffix(".part") for file in folder.iterdir() if file.suffix != ".lock"}
        others.discard(_name(content))
        total = content.size + sum(int(name.rpartition("-")[2]) for name in others)
        if total > self._limit or len(others) >= MOST_FILES:
            raise TooLarge(
                f"{total} bytes in {len(others) + 1} files would be on their way with this key; "
                f"{self._limit} in {MOST_FILES} are the limit.",
                "End other uploads first, or wait a day.",
            )

    def _whole(self, owner: str, content: Content) -> Path:
        return self._root / owner / _name(content)

    def _part(self, owner: str, content: Content) -> Path:
        return self._root / owner / f"{_name(content)}.part"


class Writer:
    """Appends the pieces of one request.

    Attributes:
        offset: how many bytes are there.
    """

    def __init__(self, descriptor: int | None, content: Content, offset: int) -> None:
        self.offset = offset
        self._descriptor = descriptor
        self._content = content

    def write(self, piece: bytes) -> None:
        """Append.

        Raises:
            TooLarge: there is more than was said.
        """
        if self.offset + len(piece) > self._content.size:
            raise TooLarge(f"More than the {self._content.size} bytes came that were said.")
        rest = memoryview(piece)
        while rest and self._descriptor is not None:
            rest = rest[os.write(self._descriptor, rest) :]
        self.offset += len(piece)


def _name(content: Content) -> str:
    return f"{content.digest.removeprefix('sha256:')}-{content.size}"
