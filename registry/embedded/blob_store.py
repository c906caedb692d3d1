"""BlobStore: what a place for content-addressed bytes can do; a folder and a bucket each do it their way."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from registry.files import FileEntry

OnBytes = Callable[[int], None] | None


class BlobStore(Protocol):
    """Content under the name of its digest, each written whole or not at all.

    A push stages its files in a private local folder (``stage``, ``copy_in``), proves them there, and then keeps them
    (``keep``). Digests are ``sha256:<hex>``. Every method may raise ``Unavailable`` where the store is away.
    """

    def stage(self) -> AbstractContextManager[Path]:
        """A private local folder for content that is not yet kept; removed at the end, with all that is in it."""
        ...

    def copy_in(self, source: Path, staged: Path, path: str, on_bytes: OnBytes = None) -> FileEntry:
        """Copy ``source`` to ``staged / path`` and hash it on the way."""
        ...

    def keep(self, staged: Path, entries: tuple[FileEntry, ...], on_bytes: OnBytes = None) -> None:
        """Give staged files their place by content; content that is already there becomes fresh for ``digests``.

        ``on_bytes`` hears each byte once, in ``copy_in`` or here, wherever the store takes its time: pass it to both.
        """
        ...

    def copy_out(self, entry: FileEntry, target: Path, on_bytes: OnBytes = None) -> None:
        """Copy content to the new file ``target`` and prove it on the way; nothing is left where it was changed.

        Raises:
            Corrupted: the content is missing or has other bytes than its name says.
        """
        ...

    def read(self, digest: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The bytes from ``start`` up to ``stop`` (the end), in pieces of at most 8 MiB, not proved.

        Raises:
            Corrupted: the content is missing; at once, not with the first piece.
        """
        ...

    def size(self, digest: str) -> int | None:
        """Bytes of this content, None where it is not kept."""
        ...

    def digests(self) -> Iterator[tuple[str, int, datetime]]:
        """All content, in no order: digest, bytes, and when it was last kept (UTC)."""
        ...

    def remove(self, digest: str) -> None:
        """Take content away for good; what is not there is no error."""
        ...

    def check(self, digest: str, on_bytes: OnBytes = None) -> bool:
        """Whether the content is there and still hashes to its name; reads all of it."""
        ...

    def url(self, digest: str, seconds: int) -> str | None:
        """A URL from which anyone can read the content for so long; None where the store has no such thing."""
        ...


def prove_kept(blobs: BlobStore, staged: Path, entries: tuple[FileEntry, ...]) -> None:
    """Prove, inside the transaction that makes them visible, that kept files are still there.

    Garbage collection may have taken content that nothing named yet; no transaction of its own can run now, so what
    is kept again from ``staged`` stays.
    """
    for entry in entries:
        if blobs.size(entry.digest) is None:
            blobs.keep(staged, (entry,))
