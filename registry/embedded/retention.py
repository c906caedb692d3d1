"""Retention: rules that say which versions are kept without anybody asking."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from registry.embedded.audit import record
from registry.embedded.database import Database
from registry.embedded.tables import moves, retention, versions
from registry.embedded.tombstones import not_deleted
from registry.errors import InvalidInput, NotFound
from registry.retention import RetentionRule, rule_for, valid_pattern
from registry.times import from_text, now


class Retention:
    """The rules; ``registry gc`` carries them out."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, pattern: str, *, keep_last: int, keep_aliased: bool, actor: str) -> RetentionRule:
        """Make the rule of a name or pattern, in place of an earlier one.

        Raises:
            InvalidInput: the pattern fits no name, or ``keep_last`` is below 1.
        """
        valid_pattern(pattern)
        if keep_last < 1:
            raise InvalidInput("A retention rule keeps at least the newest version.", "Give --keep-last 1 or more.")
        rule = RetentionRule(
            pattern=pattern, keep_last=keep_last, keep_aliased=keep_aliased, actor=actor, created=now()
        )
        with self._database.write() as connection:
            connection.execute(delete(retention).where(retention.c.pattern == pattern))
            connection.execute(insert(retention).values(rule.to_json()))
            record(connection, "retention set", pattern, rule.to_json(), actor=actor)
        return rule

    def remove(self, pattern: str, *, actor: str) -> None:
        """Take a rule back; what it deleted can be restored while its grace lasts.

        Raises:
            NotFound: there is no such rule.
        """
        with self._database.write() as connection:
            if not connection.execute(delete(retention).where(retention.c.pattern == pattern)).rowcount:
                raise NotFound(f"There is no retention rule {pattern}.", "registry retention list")
            record(connection, "retention remove", pattern, {}, actor=actor)

    def list(self) -> Sequence[RetentionRule]:
        """Every rule, by pattern."""
        with self._database.read() as connection:
            return rules(connection)


def rules(connection: Connection) -> Sequence[RetentionRule]:
    """Every rule, inside a transaction."""
    rows = connection.execute(select(retention).order_by(retention.c.pattern)).all()
    return [RetentionRule(**{**row._mapping, "created": from_text(row.created)}) for row in rows]


def kept_by(connection: Connection, name: str, number: int) -> RetentionRule | None:
    """The rule that keeps a version, None where none does."""
    rule = rule_for(name, rules(connection))
    return rule if rule and rule.keeps(number, *_facts(connection, name)) else None


def unkept(connection: Connection, name: str) -> Sequence[int]:
    """Numbers of an adapter's versions that its rule does not keep; none where it has no rule."""
    rule = rule_for(name, rules(connection))
    if rule is None:
        return []
    numbers, aliased = _facts(connection, name)
    return [number for number in numbers if not rule.keeps(number, numbers, aliased)]


def _facts(connection: Connection, name: str) -> tuple[Sequence[int], Sequence[int]]:
    query = select(versions.c.number).where(versions.c.name == name, not_deleted()).order_by(versions.c.number)
    aliased = select(moves.c.number).where(moves.c.name == name).distinct()
    return connection.scalars(query).all(), connection.scalars(aliased).all()
