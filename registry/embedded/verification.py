"""Verification: proof that everything the registry keeps is still what it was when it was kept."""

import json
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import select

from registry.canonical import digest_bytes, digest_file
from registry.embedded.aliases import move_of
from registry.embedded.blobs import Blobs
from registry.embedded.database import Database
from registry.embedded.tables import adapters, aliases, artifacts, moves, versions
from registry.files import FileEntry


class Verification:
    """Reads every manifest, every move and every blob once."""

    def __init__(self, database: Database, blobs: Blobs) -> None:
        self._database = database
        self._blobs = blobs

    def blobs(self) -> dict[str, FileEntry]:
        """Every blob that a version or an artifact names, by digest."""
        named: dict[str, FileEntry] = {}
        with self._database.read() as connection:
            for document in connection.scalars(select(versions.c.manifest).union_all(select(artifacts.c.document))):
                for entry in json.loads(document)["files"]:
                    named[entry["sha256"]] = FileEntry.from_json(entry)
        return named

    def run(self, on_bytes: Callable[[int], None] | None = None) -> Sequence[str]:
        """Look at everything.

        Args:
            on_bytes: hears the size of each piece that was read.

        Returns:
            What is wrong, a line each; empty means that all is well.
        """
        return [*self._manifests(), *self._histories(), *self._contents(on_bytes)]

    def _manifests(self) -> Iterator[str]:
        query = select(versions.c.name, versions.c.number, versions.c.digest, versions.c.manifest)
        with self._database.read() as connection:
            for row in connection.execute(query):
                if digest_bytes(row.manifest.encode("utf-8")) != row.digest:
                    yield f"{row.name}:{row.number}: the manifest was changed after the push."

    def _histories(self) -> Iterator[str]:
        with self._database.read() as connection:
            rows = connection.execute(select(moves).order_by(moves.c.name, moves.c.sequence)).all()
            ends = {row.name: row for row in connection.execute(select(adapters))}
            targets = {(row.name, row.alias): row.number for row in connection.execute(select(aliases))}
        chains = {name: list(chain) for name, chain in groupby(rows, lambda row: row.name)}
        for name, end in ends.items():
            yield from _broken_links(name, chains.get(name, []), end.moves, end.last_move)
        now = {(row.name, row.alias): row.number for row in rows}
        for key in sorted(now.keys() | targets.keys()):
            if now.get(key) != targets.get(key):
                yield f"{'@'.join(key)} does not point where its history says."

    def _contents(self, on_bytes: Callable[[int], None] | None) -> Iterator[str]:
        for digest, entry in self.blobs().items():
            blob = self._blobs.path(digest)
            if not blob.is_file():
                yield f"{digest[:19]}… ({entry.path}): the content is missing."
            elif digest_file(blob, on_bytes) != digest:
                yield f"{digest[:19]}… ({entry.path}): the content was changed on the disk."


def _broken_links(name: str, chain: Sequence[Any], length: int, last: str) -> Iterator[str]:
    parent = ""
    for row in chain:
        if row.parent != parent or move_of(row).hash != row.hash:
            yield f"{name}: entry {row.sequence} of the history was changed."
        parent = row.hash
    if len(chain) != length or parent != last:
        yield f"{name}: the history does not end where it should; entries are missing."
