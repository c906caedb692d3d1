"""Upload: what the server lacks of some files, from where the last attempt ended."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from registry.canonical import CHUNK
from registry.errors import Conflict, Unavailable
from registry.files import FileEntry
from registry.remote.connection import PROVING, Connection
from registry.rooms import OnBytes

ATTEMPTS = 5
"""In a row without a byte of progress; between them 0.25, 0.5, 1 and 2 seconds."""

HELD_SECONDS = 75.0
"""So long a server may take to notice that the connection on which this content was sent is gone: it waits for 60."""

HELD_PAUSE = 2.0


@dataclass(frozen=True, slots=True)
class _Arrived:
    offset: int
    whole: bool


def send_missing(
    connection: Connection, folder: Path, purpose: Mapping[str, str], entries: Sequence[FileEntry], on_bytes: OnBytes
) -> None:
    """Bring the content of every file to the server; what it has is not sent.

    Args:
        connection: to the server.
        folder: holds the files.
        purpose: ``{"name": ...}`` of the adapter, or ``{"version": ...}``, the digest of the artifact's version.
        entries: the files.
        on_bytes: hears of each byte once, sent or not.

    Raises:
        Unavailable: the server is away, and stayed so.
        Conflict: somebody else sends this content with the same key, and goes on doing so.
    """
    for entry, arrived in zip(entries, _ask(connection, purpose, entries), strict=True):
        _Upload(connection, folder / entry.path, purpose, entry, on_bytes).run(arrived)


def _ask(connection: Connection, purpose: Mapping[str, str], entries: Sequence[FileEntry]) -> list[_Arrived]:
    contents = [{"digest": entry.digest, "size": entry.size} for entry in entries]
    document = {**purpose, "contents": contents}
    answer: list[_Arrived] = connection.ask(list[_Arrived], "POST", "/uploads", json=document)
    return answer


class _Upload:
    def __init__(
        self, connection: Connection, file: Path, purpose: Mapping[str, str], entry: FileEntry, on_bytes: OnBytes
    ) -> None:
        self._connection = connection
        self._file = file
        self._purpose = purpose
        self._entry = entry
        self._on_bytes = on_bytes
        self._told = 0

    def run(self, arrived: _Arrived) -> None:
        """Send what has not arrived, and again from wherever a cut has left it."""
        failures, held_until = 0, time.monotonic() + HELD_SECONDS
        self._tell(arrived.offset)
        while not arrived.whole:
            try:
                arrived = self._send(arrived.offset)
            except (Unavailable, Conflict) as error:
                failures += 1
                held = isinstance(error, Conflict) and time.monotonic() < held_until
                if failures >= ATTEMPTS and not held:
                    raise
                time.sleep(min(0.125 * 2**failures, HELD_PAUSE))
                before, arrived = arrived, self._arrived(arrived)
                if arrived.offset > before.offset:
                    failures, held_until = 0, time.monotonic() + HELD_SECONDS

    def _send(self, offset: int) -> _Arrived:
        size = self._entry.size
        headers = {"upload-offset": str(offset), "upload-length": str(size), "content-length": str(size - offset)}
        digest, pieces = self._entry.digest, self._pieces(offset)
        arrived: _Arrived = self._connection.ask(
            _Arrived, "PATCH", "/uploads/{}", digest, headers=headers, content=pieces, silence=PROVING
        )
        return arrived

    def _pieces(self, offset: int) -> Iterator[bytes]:
        with self._file.open("rb") as stream:
            stream.seek(offset)
            while piece := stream.read(CHUNK):
                yield piece
                offset += len(piece)
                self._tell(offset)

    def _arrived(self, before: _Arrived) -> _Arrived:
        try:
            return _ask(self._connection, self._purpose, [self._entry])[0]
        except Unavailable:
            return before  # still away

    def _tell(self, offset: int) -> None:
        if self._on_bytes and offset > self._told:
            self._on_bytes(offset - self._told)
            self._told = offset
