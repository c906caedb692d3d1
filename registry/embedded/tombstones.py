"""Tombstones: rows of deleted versions, read inside other transactions."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, select

from registry.deletion import Deletion
from registry.embedded.tables import deletions, versions
from registry.times import from_text


def deletion_of(connection: Connection, name: str, number: int) -> Deletion | None:
    """What the registry knows of a version's deletion, None where it was not deleted."""
    here = deletions.c.name == name, deletions.c.number == number
    row = connection.execute(select(deletions).where(*here)).one_or_none()
    return deletion_from(row) if row else None


def deletions_of(connection: Connection, name: str | None = None) -> Sequence[Deletion]:
    """Deletions by name and number, of one adapter or of all."""
    query = select(deletions).order_by(deletions.c.name, deletions.c.number)
    if name is not None:
        query = query.where(deletions.c.name == name)
    return [deletion_from(row) for row in connection.execute(query)]


def not_deleted() -> ColumnElement[bool]:
    """The condition for rows of ``versions`` that are not marked for deletion."""
    return ~exists().where(deletions.c.name == versions.c.name, deletions.c.number == versions.c.number)


def deletion_from(row: Any) -> Deletion:
    """The deletion that a row of the table ``deletions`` holds."""
    return Deletion(
        name=row.name,
        number=row.number,
        digest=row.digest,
        actor=row.actor,
        reason=row.reason,
        marked=from_text(row.marked),
        due=from_text(row.due),
        removed=from_text(row.removed) if row.removed else None,
    )
