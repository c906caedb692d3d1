"""Aliases: promote and roll back, each one transaction with its entry in the history."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select

from registry.alias import UNSET, Alias, Move
from registry.embedded.audit import recording_refusals
from registry.embedded.database import Database
from registry.embedded.gate import prove_passed
from registry.embedded.moving import move_alias
from registry.embedded.signatures import prove_signed
from registry.embedded.tables import aliases, moves, versions
from registry.embedded.versions import find
from registry.errors import Conflict, InvalidInput, NotFound, Refused
from registry.refs import AdapterRef, valid_alias, valid_name
from registry.times import from_text


class Aliases:
    """The movable names of versions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def promote(
        self,
        ref: AdapterRef | str,
        alias: str,
        *,
        actor: str,
        reason: str = "",
        force: bool = False,
        expected: str | None = None,
    ) -> Alias:
        """Move ``alias`` to the version that ``ref`` names.

        Args:
            ref: the version.
            alias: what is to name it.
            actor: who moves it.
            reason: why.
            force: overrule the gate.
            expected: tag of the alias as the caller saw it (``Alias.tag``), or ``UNSET``; None asks for nothing.

        Raises:
            Conflict: the alias is not where it was expected.
            NotFound: there is no such version.
            Refused: the alias is protected and the version has no passing report, or a signature is missing that a
                policy asks for; ``force`` overrules the first only.
            InvalidInput: ``force`` without a reason.
        """
        valid_alias(alias)
        if force and not reason:
            raise InvalidInput("A forced promotion needs a reason; it goes into the history.", "Add --reason WHY.")
        ref = AdapterRef.parse(ref) if isinstance(ref, str) else ref
        audited = recording_refusals(self._database, "promote", ref.name, actor=actor)
        with audited, self._database.write() as connection:
            version = find(connection, ref)
            _prove_expected(connection, version.name, alias, expected)
            if not force:
                prove_passed(connection, version, alias)
            prove_signed(connection, version.name, version.digest)
            return move_alias(connection, version, alias, kind="promote", actor=actor, reason=reason, forced=force)

    def rollback(
        self,
        name: str,
        alias: str,
        *,
        actor: str,
        reason: str = "",
        to: int | None = None,
        expected: str | None = None,
    ) -> Alias:
        """Move ``alias`` back to the version it named before, or to ``to``, one that it named once.

        ``expected`` is as in ``promote``.

        Raises:
            Conflict: the alias is not where it was expected.
            NotFound: the alias was never set.
            Refused: there is nothing to go back to, or the alias never named ``to``.
        """
        valid_name(name)
        valid_alias(alias)
        audited = recording_refusals(self._database, "rollback", name, actor=actor)
        with audited, self._database.write() as connection:
            _prove_expected(connection, name, alias, expected)
            past = _moves(connection, name, alias)
            if not past:
                raise NotFound(f"{name} has no alias {alias}.", f"registry promote {name}:1 {alias}")
            number = to if to is not None else _before(past)
            if number is None:
                raise Refused(f"{name}@{alias} has named one version only; there is nothing to go back to.")
            if number not in {move.number for move in past}:
                raise Refused(f"{name}@{alias} has never named version {number}.", f"registry history {name}")
            version = find(connection, AdapterRef(name, version=number))
            return move_alias(connection, version, alias, kind="rollback", actor=actor, reason=reason, forced=False)

    def list(self, name: str | None = None) -> Sequence[Alias]:
        """Where the aliases of one adapter, or of all, point now."""
        with self._database.read() as connection:
            return _targets(connection, name)

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


def _moves(connection: Connection, name: str, alias: str | None) -> list[Move]:
    query = select(moves).where(moves.c.name == name).order_by(moves.c.sequence)
    if alias is not None:
        query = query.where(moves.c.alias == alias)
    return [move_of(row) for row in connection.execute(query)]


def move_of(row: Any) -> Move:
    """The history entry that a row of the table ``moves`` holds."""
    fields = {key: value for key, value in row._mapping.items() if key != "hash"}
    return Move(**fields | {"moved": from_text(row.moved)})


def _targets(connection: Connection, name: str | None) -> list[Alias]:
    query = (
        select(aliases, versions.c.digest)
        .join(versions, (versions.c.name == aliases.c.name) & (versions.c.number == aliases.c.number))
        .order_by(aliases.c.name, aliases.c.alias)
    )
    if name is not None:
        query = query.where(aliases.c.name == name)
    return [_alias(row) for row in connection.execute(query)]


def _prove_expected(connection: Connection, name: str, alias: str, expected: str | None) -> None:
    if expected is None:
        return
    now_there = next((one for one in _targets(connection, name) if one.alias == alias), None)
    if expected != (now_there.tag if now_there else UNSET):
        where = f"names version {now_there.number} since {now_there.moved:%H:%M:%S} UTC" if now_there else "is not set"
        raise Conflict(f"{name}@{alias} was moved meanwhile: it {where}.", f"registry history {name}")


def _alias(row: Any) -> Alias:
    return Alias(name=row.name, alias=row.alias, number=row.number, digest=row.digest, moved=from_text(row.moved))
