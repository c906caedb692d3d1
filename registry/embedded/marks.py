"""Marks: deprecations and tags, which people put on versions and take off again."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select

from registry.deprecation import Deprecation
from registry.embedded.database import Database
from registry.embedded.events import announce
from registry.embedded.tables import deprecations, tags
from registry.embedded.versions import find
from registry.errors import InvalidInput
from registry.refs import AdapterRef
from registry.tags import valid_key, valid_tags
from registry.times import from_text, now
from registry.version import AdapterVersion

MAX_REASON = 1000
"""Characters."""


class Marks:
    """What people say of versions; nothing that is served depends on it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def deprecate(self, ref: AdapterRef | str, *, actor: str, reason: str) -> Deprecation:
        """Say that a version should no longer be used; an earlier mark is replaced.

        Raises:
            NotFound: there is no such version.
            InvalidInput: the reason is empty or too long.
        """
        if not reason or len(reason) > MAX_REASON:
            raise InvalidInput(f"A deprecation needs a reason of 1 to {MAX_REASON} characters.", "Add --reason WHY.")
        with self._database.write() as connection:
            version = _found(connection, ref)
            mark = Deprecation(name=version.name, number=version.number, actor=actor, reason=reason, marked=now())
            _undo(connection, version)
            connection.execute(insert(deprecations).values(**mark.to_json()))
            _announce(connection, version, {"deprecated": reason}, "deprecate", actor)
        return mark

    def undo(self, ref: AdapterRef | str, *, actor: str) -> AdapterVersion:
        """Take a deprecation back; a version without one is no error.

        Raises:
            NotFound: there is no such version.
        """
        with self._database.write() as connection:
            version = _found(connection, ref)
            _undo(connection, version)
            _announce(connection, version, {"deprecated": None}, "undeprecate", actor)
        return version

    def deprecations(self, name: str | None = None) -> Sequence[Deprecation]:
        """Deprecations by name and number, of one adapter or of all."""
        query = select(deprecations).order_by(deprecations.c.name, deprecations.c.number)
        if name is not None:
            query = query.where(deprecations.c.name == name)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [Deprecation(**{**row._mapping, "marked": from_text(row.marked)}) for row in rows]

    def tag(
        self, ref: AdapterRef | str, add: Mapping[str, str], remove: Iterable[str] = (), *, actor: str
    ) -> Mapping[str, str]:
        """Set tags of a version and take others away; one that is not there is no error.

        Returns:
            The version's tags, by key.

        Raises:
            NotFound: there is no such version.
            InvalidInput: a tag cannot be kept, or there would be too many.
        """
        gone = {valid_key(key) for key in remove}
        with self._database.write() as connection:
            version = _found(connection, ref)
            kept = _tags(connection, version.name).get((version.name, version.number), {})
            wanted = valid_tags({key: value for key, value in (kept | dict(add)).items() if key not in gone})
            here = tags.c.name == version.name, tags.c.number == version.number
            connection.execute(delete(tags).where(*here))
            rows = [
                {"name": version.name, "number": version.number, "key": key, "value": value}
                for key, value in sorted(wanted.items())
            ]
            if rows:
                connection.execute(insert(tags), rows)
            _announce(connection, version, {"tags": dict(wanted)}, "tag", actor)
        return wanted

    def tags(self, name: str | None = None) -> Mapping[tuple[str, int], Mapping[str, str]]:
        """(Name, number) of each version that has tags -> its tags; of one adapter or of all."""
        with self._database.read() as connection:
            return _tags(connection, name)


def _found(connection: Connection, ref: AdapterRef | str) -> AdapterVersion:
    return find(connection, AdapterRef.parse(ref) if isinstance(ref, str) else ref)


def _undo(connection: Connection, version: AdapterVersion) -> None:
    here = deprecations.c.name == version.name, deprecations.c.number == version.number
    connection.execute(delete(deprecations).where(*here))


def _tags(connection: Connection, name: str | None) -> dict[tuple[str, int], dict[str, str]]:
    query = select(tags).order_by(tags.c.name, tags.c.number, tags.c.key)
    if name is not None:
        query = query.where(tags.c.name == name)
    found: dict[tuple[str, int], dict[str, str]] = {}
    for row in connection.execute(query):
        found.setdefault((row.name, row.number), {})[row.key] = row.value
    return found


def _announce(
    connection: Connection, version: AdapterVersion, change: Mapping[str, object], action: str, actor: str
) -> None:
    payload = {"number": version.number, "digest": version.digest, **change}
    announce(connection, "mark", version.name, payload, action=action, actor=actor)
