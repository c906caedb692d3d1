"""Aliases: promote and roll back, each one transaction with its entry in the history."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from registry.alias import Alias, Move
from registry.embedded.database import Database
from registry.embedded.events import announce
from registry.embedded.gate import prove_passed
from registry.embedded.tables import adapters, aliases, moves, versions
from registry.embedded.versions import find
from registry.errors import InvalidInput, NotFound, Refused
from registry.refs import AdapterRef, valid_alias, valid_name
from registry.times import from_text, now, to_text
from registry.version import AdapterVersion


class Aliases:
    """The movable names of versions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def promote(self, ref: AdapterRef | str, alias: str, *, actor: str, reason: str = "", force: bool = False) -> Alias:
        """Move ``alias`` to the version that ``ref`` names.

        Raises:
            NotFound: there is no such version.
            Refused: the alias is protected and the version has no passing report.
            InvalidInput: ``force`` without a reason.
        """
        valid_alias(alias)
        if force and not reason:
            raise InvalidInput("A forced promotion needs a reason; it goes into the history.", "Add --reason WHY.")
        with self._database.write() as connection:
            version = find(connection, AdapterRef.parse(ref) if isinstance(ref, str) else ref)
            if not force:
                prove_passed(connection, version, alias)
            return _move(connection, version, alias, kind="promote", actor=actor, reason=reason, forced=force)

    def rollback(self, name: str, alias: str, *, actor: str, reason: str = "", to: int | None = None) -> Alias:
        """Move ``alias`` back to the version it named before, or to ``to``, one that it named once.

        Raises:
            NotFound: the alias was never set.
            Refused: there is nothing to go back to, or the alias never named ``to``.
        """
        valid_name(name)
        valid_alias(alias)
        with self._database.write() as connection:
            past = _moves(connection, name, alias)
            if not past:
                raise NotFound(f"{name} has no alias {alias}.", f"registry promote {name}:1 {alias}")
            number = to if to is not None else _before(past)
            if number is None:
                raise Refused(f"{name}@{alias} has named one version only; there is nothing to go back to.")
            if number not in {move.number for move in past}:
                raise Refused(f"{name}@{alias} has never named version {number}.", f"registry history {name}")
            version = find(connection, AdapterRef(name, version=number))
            return _move(connection, version, alias, kind="rollback", actor=actor, reason=reason, forced=False)

    def list(self, name: str | None = None) -> Sequence[Alias]:
        """Where the aliases of one adapter, or of all, point now."""
        query = (
            select(aliases, versions.c.digest)
            .join(versions, (versions.c.name == aliases.c.name) & (versions.c.number == aliases.c.number))
            .order_by(aliases.c.name, aliases.c.alias)
        )
        if name is not None:
            query = query.where(aliases.c.name == name)
        with self._database.read() as connection:
            return [_alias(row) for row in connection.execute(query)]

    def history(self, name: str, alias: str | None = None) -> Sequence[Move]:
        """Every move, oldest first."""
        with self._database.read() as connection:
            return _moves(connection, name, alias)


def _before(past: Sequence[Move]) -> int | None:
    """The version that an alias named before its present one, as undo sees it: rolling back twice goes back twice."""
    stack: list[int] = []
    for move in past:
        if move.kind == "rollback" and move.number in stack:
            while stack[-1] != move.number:
                stack.pop()
        elif not stack or stack[-1] != move.number:
            stack.append(move.number)
    return stack[-2] if len(stack) > 1 else None


def _move(
    connection: Connection, version: AdapterVersion, alias: str, *, kind: str, actor: str, reason: str, forced: bool
) -> Alias:
    chain = connection.execute(select(adapters).where(adapters.c.name == version.name)).one()
    here = (aliases.c.name == version.name) & (aliases.c.alias == alias)
    entry = Move(
        name=version.name,
        sequence=chain.moves + 1,
        alias=alias,
        kind=kind,
        previous=connection.scalar(select(aliases.c.number).where(here)),
        number=version.number,
        digest=version.digest,
        actor=actor,
        reason=reason,
        forced=forced,
        moved=now(),
        parent=chain.last_move,
    )
    connection.execute(insert(moves).values(**entry.fields(), hash=entry.hash))
    connection.execute(
        update(adapters).where(adapters.c.name == version.name).values(moves=entry.sequence, last_move=entry.hash)
    )
    connection.execute(delete(aliases).where(here))
    moved = to_text(entry.moved)
    connection.execute(insert(aliases).values(name=version.name, alias=alias, number=version.number, moved=moved))
    announce(connection, "alias", version.name, {"alias": alias, "number": version.number, "digest": version.digest})
    return Alias(name=version.name, alias=alias, number=version.number, digest=version.digest, moved=entry.moved)


def _moves(connection: Connection, name: str, alias: str | None) -> list[Move]:
    query = select(moves).where(moves.c.name == name).order_by(moves.c.sequence)
    if alias is not None:
        query = query.where(moves.c.alias == alias)
    return [move_of(row) for row in connection.execute(query)]


def move_of(row: Any) -> Move:
    """The history entry that a row of the table ``moves`` holds."""
    fields = {key: value for key, value in row._mapping.items() if key != "hash"}
    return Move(**fields | {"moved": from_text(row.moved)})


def _alias(row: Any) -> Alias:
    return Alias(name=row.name, alias=row.alias, number=row.number, digest=row.digest, moved=from_text(row.moved))
