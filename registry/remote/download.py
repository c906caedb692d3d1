"""Download: content in ranges, several at once, each gone on with where it was cut, and proved as a whole."""

import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from registry.canonical import CHUNK, digest_file
from registry.embedded.blobs import folder_made_whole
from registry.errors import Conflict, Corrupted, Unavailable
from registry.files import FileEntry, safe_path
from registry.remote.connection import Connection
from registry.rooms import OnBytes

PART = 16 << 20
"""Bytes of a range. Smaller ones cost a request each, larger ones leave little to do at once."""

AT_ONCE = 4

ATTEMPTS = 5
"""In a row without a byte of progress; between them 0.25, 0.5, 1 and 2 seconds."""


def pull_files(
    connection: Connection, version_digest: str, files: Sequence[FileEntry], target: Path, on_bytes: OnBytes
) -> None:
    """Make the new folder ``target`` with all files of a version, or of an artifact of it, verified; or nothing.

    Raises:
        Conflict: ``target`` exists.
        Corrupted: other bytes came than the manifest says.
        Unavailable: the server is away, and stayed so.
    """
    if target.exists():
        raise Conflict(f"{target} exists already.", "Name another folder with --out.")
    with folder_made_whole(target) as folder:
        for entry in files:
            file = folder / safe_path(entry.path)
            file.parent.mkdir(parents=True, exist_ok=True)
            _Download(connection, version_digest, entry, on_bytes).run(file)


class _Download:
    def __init__(self, connection: Connection, version_digest: str, entry: FileEntry, on_bytes: OnBytes) -> None:
        self._connection = connection
        self._version = version_digest
        self._entry = entry
        self._on_bytes = on_bytes
        self._stopped = threading.Event()

    def run(self, file: Path) -> None:
        """Bring the content to the new file, or leave none."""
        starts = range(0, self._entry.size, PART)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            os.truncate(descriptor, self._entry.size)
            with ThreadPoolExecutor(min(AT_ONCE, max(1, len(starts)))) as pool:
                try:
                    list(pool.map(lambda start: self._part(descriptor, start), starts))
                except BaseException:
                    self._stopped.set()
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if digest_file(file) != self._entry.digest:
            file.unlink()
            raise Corrupted(f"What came of {self._entry.path} is not its content ({self._entry.digest[:19]}…).")

    def _part(self, descriptor: int, start: int) -> None:
        stop, failures = min(start + PART, self._entry.size), 0
        while start < stop and not self._stopped.is_set():
            before = start
            try:
                for piece in self._pieces(start, stop):
                    start += os.pwrite(descriptor, piece, start)
                    if self._on_bytes:
                        self._on_bytes(len(piece))
            except Unavailable:
                failures = 0 if start > before else failures + 1
                if failures == ATTEMPTS:
                    raise
                time.sleep(0.125 * 2 ** max(failures, 1))

    def _pieces(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from ``start`` to ``stop``, perhaps fewer.

        Raises:
            Unavailable: the connection was cut, or somebody between sends other than what was asked for.
        """
        headers = {"range": f"bytes={start}-{stop - 1}", "accept-encoding": "identity"}
        path, url = "/blobs/{}", self._connection.url
        with self._connection.stream(path, self._entry.digest, headers=headers, version=self._version) as response:
            if not response.headers.get("content-range", "").startswith(f"bytes {start}-"):
                raise Unavailable(f"What answers at {url} does not send ranges of a file.")
            for piece in response.iter_raw(CHUNK):
                if self._stopped.is_set():
                    return
                yield piece[: stop - start]
                start += len(piece[: stop - start])
            if start < stop:
                raise Unavailable(f"The registry at {url} ended {self._entry.path} too early.")
