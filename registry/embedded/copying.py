"""Copying: everything that one registry keeps, taken over by another."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Integer, Table, delete, func, insert, select, tuple_

from registry.embedded import signature_tables
from registry.embedded.blob_store import OnBytes
from registry.embedded.stores import Stores
from registry.embedded.tables import (
    adapters,
    audit,
    bases,
    deletions,
    events,
    keys,
    metadata,
    moves,
    replicas,
    versions,
)
from registry.embedded.verification import named_blobs
from registry.errors import Conflict, InvalidInput
from registry.files import FileEntry

LEFT_OUT = frozenset({replicas.name})
"""Running servers say themselves which registry they follow."""

LASTING: dict[Table, tuple[Column[object], ...]] = {
    adapters: (adapters.c.name,),
    bases: (bases.c.fingerprint, bases.c.name),
    versions: (versions.c.name, versions.c.number, versions.c.digest),
    moves: (moves.c.name, moves.c.sequence, moves.c.hash),
    keys: (keys.c.id, keys.c.hash),
    events: (events.c.id, events.c.kind, events.c.subject, events.c.payload, events.c.created),
    audit: (audit.c.id, audit.c.at, audit.c.actor, audit.c.action, audit.c.subject),
    signature_tables.signatures: (signature_tables.signatures.c.version_digest, signature_tables.signatures.c.key),
}
"""Tables whose rows stay -> what tells them apart. A target that has one the source lacks is another registry, or went
its own way; each change there writes an event."""

ROWS = 500
"""Rows in memory at once."""


@dataclass(frozen=True, slots=True)
class Copied:
    """What a copy did.

    Attributes:
        blobs: how many were copied.
        size: their bytes.
        present: how many the target had already.
        rows: of all tables, as the target has them now.
    """

    blobs: int
    size: int
    present: int
    rows: int


class Copying:
    """Content first, each blob proved on its way; then every row in one transaction, so the target is never half.

    Stopped anywhere, the target is what it was, with more content that nothing names yet; the next run goes on there.
    """

    def __init__(self, source: Stores, target: Stores) -> None:
        """Raises InvalidInput where both are the same."""
        if source.database.engine.url == target.database.engine.url:
            raise InvalidInput(f"{source.database.place} cannot be copied into itself.")
        self._source, self._target = source, target

    def run(self, on_total: Callable[[int], None] | None = None, on_bytes: OnBytes = None) -> Copied:
        """Copy all that the target lacks.

        Args:
            on_total: hears how many bytes have to be copied, more than once where the source grows meanwhile.
            on_bytes: hears the size of each piece that was read.

        Raises:
            Conflict: the target holds something that the source does not.
            Corrupted: the source's content is not what it was.
        """
        blobs = size = 0
        while True:
            with self._source.database.read() as source, self._target.database.read() as target:
                _prove_prefix(self, source, target)
                missing = self._missing(source)
            if on_total:
                on_total(size + sum(entry.size for entry in missing))
            for entry in missing:
                self._copy_blob(entry, on_bytes)
                blobs, size = blobs + 1, size + entry.size
            with self._source.database.read() as source, self._target.database.write() as target:
                if self._missing(source):
                    continue  # somebody pushed meanwhile
                _prove_prefix(self, source, target)
                rows = sum(_copy_rows(source, target))
                return Copied(blobs=blobs, size=size, present=len(named_blobs(source)) - blobs, rows=rows)

    @property
    def places(self) -> tuple[str, str]:
        """What errors call the source and the target."""
        return self._source.database.place, self._target.database.place

    def _missing(self, source: Connection) -> list[FileEntry]:
        there = {(digest, size) for digest, size, _ in self._target.blobs.digests()}
        return [entry for entry in named_blobs(source).values() if (entry.digest, entry.size) not in there]

    def _copy_blob(self, entry: FileEntry, on_bytes: OnBytes) -> None:
        staged_entry = FileEntry("blob", entry.size, entry.digest)
        with self._target.blobs.stage() as staged:
            self._source.blobs.copy_out(entry, staged / staged_entry.path, on_bytes)
            self._target.blobs.keep(staged, (staged_entry,))


def _prove_prefix(copying: Copying, source: Connection, target: Connection) -> None:
    """Prove that the target holds nothing that the source does not hold, or held and has buried."""
    for table in LASTING:
        if extra := next(_extra_rows(source, target, table), None):
            named = ", ".join(str(value)[:40] for value in extra[:2])
            raise Conflict(
                f"{copying.places[1]} holds something that {copying.places[0]} does not: {table.name} ({named}).",
                "Copy into an empty registry, or into an earlier copy of this one.",
            )


def _extra_rows(source: Connection, target: Connection, table: Table) -> Iterator[tuple[object, ...]]:
    """What tells apart the rows that the target alone has."""
    columns = LASTING[table]
    with target.execute(select(*columns).execution_options(yield_per=ROWS)) as held:
        for batch in held.partitions():
            extra = _lacking(source, [tuple(row) for row in batch], columns)
            if table is versions:
                buried = (deletions.c.name, deletions.c.number, deletions.c.digest)
                extra = _lacking(source, extra, buried, deletions.c.removed.is_not(None))
            yield from extra


def _lacking(
    connection: Connection,
    rows: Sequence[tuple[object, ...]],
    columns: Sequence[Column[Any]],
    *conditions: ColumnElement[bool],
) -> Sequence[tuple[object, ...]]:
    """Those of the rows, at most ROWS, that these columns do not hold, in order."""
    if not rows:
        return rows
    found = connection.execute(select(*columns).where(tuple_(*columns).in_(rows), *conditions))
    return sorted(set(rows) - {tuple(row) for row in found}, key=str)


def _copy_rows(source: Connection, target: Connection) -> Iterator[int]:
    """Replace every row of the target; yields how many each table has now."""
    tables = [table for table in metadata.sorted_tables if table.name not in LEFT_OUT]
    for table in reversed(tables):
        target.execute(delete(table))
    for table in tables:
        count = 0
        query = select(table).order_by(*table.primary_key.columns)
        for batch in source.execute(query.execution_options(yield_per=ROWS)).mappings().partitions():
            target.execute(insert(table), [dict(row) for row in batch])
            count += len(batch)
        _go_on_counting(target, table)
        yield count


def _go_on_counting(target: Connection, table: Table) -> None:
    """Let the next id follow the last one; SQLite does so by itself."""
    column = table.autoincrement_column
    if column is None or not isinstance(column.type, Integer) or target.dialect.name != "postgresql":
        return
    sequence = func.pg_get_serial_sequence(table.name, column.name)
    last = select(func.max(column)).scalar_subquery()
    target.execute(select(func.setval(sequence, func.coalesce(last, 1), last.is_not(None))))
