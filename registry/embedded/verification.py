"""Verification: proof that everything the registry keeps is still what it was when it was kept."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, select

from registry.alias import REMARKS
from registry.canonical import digest_bytes
from registry.embedded.aliases import move_of
from registry.embedded.blob_store import BlobStore
from registry.embedded.database import Database
from registry.embedded.seal import is_whole
from registry.embedded.tables import adapters, aliases, artifacts, deletions, metadata, moves, versions
from registry.errors import InvalidInput, Unavailable
from registry.files import FileEntry


class Verification:
    """Reads every manifest, every sealed row, every move and every blob once."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def blobs(self) -> dict[str, FileEntry]:
        """Every blob that a version or an artifact names, by digest."""
        with self._database.read() as connection:
            return named_blobs(connection)

    def run(self, on_bytes: Callable[[int], None] | None = None) -> Sequence[str]:
        """Look at everything.

        Args:
            on_bytes: hears the size of each piece that was read.

        Returns:
            What is wrong, a line each; empty means that all is well.
        """
        found: list[str] = []
        sections = (self._manifests(), self._numbers(), self._seals(), self._histories(), self._contents(on_bytes))
        for section in sections:
            try:
                found += section
            except Unavailable as error:  # a row that the database itself cannot read any more
                found.append(error.message)
        return found

    def _manifests(self) -> Iterator[str]:
        query = select(versions.c.name, versions.c.number, versions.c.digest, versions.c.manifest)
        with self._database.read() as connection:
            for row in connection.execute(query):
                if digest_bytes(row.manifest.encode("utf-8")) != row.digest:
                    yield f"{row.name}:{row.number}: the manifest was changed after the push."

    def _numbers(self) -> Iterator[str]:
        """Each number that was ever given is a version or a tombstone, and not both."""
        with self._database.read() as connection:
            counts = connection.execute(select(adapters.c.name, adapters.c.versions).order_by(adapters.c.name)).all()
            query = select(versions.c.name, versions.c.number, versions.c.digest)
            there = {(row.name, row.number): row.digest for row in connection.execute(query)}
            gone = {(row.name, row.number): row for row in connection.execute(select(deletions))}
        removed = {key for key, row in gone.items() if row.removed}
        numbers: dict[str, set[int]] = {}
        for name, number in there.keys() | removed:
            numbers.setdefault(name, set()).add(number)
        for name, count in counts:
            taken = {number for number in numbers.get(name, ()) if 1 <= number <= count}
            if len(taken) < count:  # which may be any number: it is never counted to
                first = next(number for number in range(1, len(taken) + 2) if number not in taken)
                yield f"{name}: {count - len(taken)} versions are missing, {name}:{first} first."
        known = {row.name: row.versions for row in counts}
        for name, number in sorted(there.keys() | gone.keys()):
            if number > known.get(name, 0):
                yield f"{name}:{number}: no such number was ever given."
        for key in sorted(there.keys() & gone.keys()):
            if key in removed or gone[key].digest != there[key]:
                yield f"{key[0]}:{key[1]}: the record of its deletion does not fit it."

    def _seals(self) -> Iterator[str]:
        """Every row that has a seal, of whatever table."""
        with self._database.read() as connection:
            for table in metadata.sorted_tables:
                if "seal" not in table.c:
                    continue
                key = list(table.primary_key.columns)
                for row in connection.execution_options(yield_per=100).execute(select(table).order_by(*key)):
                    if not is_whole(row):
                        named = ", ".join(str(row._mapping[column.name])[:80] for column in key)
                        yield f"{table.name} ({named}): the row was changed after it was written."

    def _histories(self) -> Iterator[str]:
        with self._database.read() as connection:
            rows = connection.execute(select(moves).order_by(moves.c.name, moves.c.sequence)).all()
            ends = {row.name: row for row in connection.execute(select(adapters))}
            targets = {(row.name, row.alias): (row.number, row.moved) for row in connection.execute(select(aliases))}
        chains = {name: list(chain) for name, chain in groupby(rows, lambda row: row.name)}
        for name, end in ends.items():
            yield from _broken_links(name, chains.get(name, []), end.moves, end.last_move)
        now = {(row.name, row.alias): (row.number, row.moved) for row in rows if row.kind not in REMARKS}
        for key in sorted(now.keys() | targets.keys()):
            if now.get(key) != targets.get(key):
                yield f"{'@'.join(key)} does not point where its history says."

    def _contents(self, on_bytes: Callable[[int], None] | None) -> Iterator[str]:
        for digest, entry in self.blobs().items():
            if self._blobs.size(digest) is None:
                fault = "the content is missing"
            elif self._blobs.check(digest, on_bytes):
                continue
            else:
                fault = "the content was changed on the disk"
            if digest in self.blobs():  # else it was deleted, and collected, since this began
                yield f"{digest[:19]}… ({entry.path}): {fault}."


def named_blobs(connection: Connection) -> dict[str, FileEntry]:
    """Every blob that a version or an artifact names, by digest."""
    documents = connection.scalars(select(versions.c.manifest).union_all(select(artifacts.c.document)))
    return {entry.digest: entry for document in documents for entry in _files(document)}


def _broken_links(name: str, chain: Sequence[Any], length: int, last: str) -> Iterator[str]:
    parent = ""
    for row in chain:
        if row.parent != parent or not _is_whole_move(row):
            yield f"{name}: entry {row.sequence} of the history was changed."
        parent = row.hash
    if len(chain) != length or parent != last:
        yield f"{name}: the history does not end where it should; entries are missing."


def _is_whole_move(row: Any) -> bool:
    try:
        return bool(move_of(row).hash == row.hash)
    except ValueError:  # the time is none
        return False


def _files(document: str) -> Sequence[FileEntry]:
    """Files that a manifest or an artifact names; none where it was changed so that nobody can read it."""
    try:
        return [FileEntry.from_json(entry) for entry in json.loads(document)["files"]]
    except (ValueError, KeyError, TypeError, AttributeError, InvalidInput):
        return []
