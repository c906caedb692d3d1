"""Deletions: a version goes in two steps, the first of which can be undone."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from registry.deletion import GRACE, MAX_GRACE, Deletion
from registry.embedded.database import Database
from registry.embedded.events import announce
from registry.embedded.release_rows import involving
from registry.embedded.replicas import FORGOTTEN_AFTER
from registry.embedded.retention import kept_by
from registry.embedded.seal import seal_of, sealed
from registry.embedded.tables import (
    aliases,
    artifacts,
    deletions,
    deprecations,
    replicas,
    reports,
    tags,
    versions,
)
from registry.embedded.tombstones import deletion_of, deletions_of
from registry.embedded.versions import find
from registry.errors import Conflict, InvalidInput, Refused
from registry.refs import AdapterRef
from registry.replica_status import ReplicaStatus
from registry.times import now, to_text
from registry.version import AdapterVersion


class Deletions:
    """Versions on their way out, and the tombstones of those that are gone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def mark(self, ref: AdapterRef | str, *, actor: str, reason: str = "", grace: timedelta = GRACE) -> Deletion:
        """Mark a version for deletion: from now on nobody can name it, and after ``grace`` it can be collected.

        Raises:
            NotFound: there is no such version, or it is marked already.
            Refused: an alias, a release, a running server or a retention rule names it.
            InvalidInput: ``grace`` is negative or longer than MAX_GRACE.
        """
        if not timedelta(0) <= grace <= MAX_GRACE:
            raise InvalidInput(f"A time of grace of {grace} cannot be.", f"Give 0 to {MAX_GRACE.days} days.")
        with self._database.write() as connection:
            version = find(connection, AdapterRef.parse(ref) if isinstance(ref, str) else ref)
            if reason_to_stay := named_by(connection, version.name, version.number):
                raise Refused(*reason_to_stay)
            return put(connection, version, actor, reason, grace)

    def restore(self, ref: AdapterRef | str, *, actor: str) -> AdapterVersion:
        """Undo the deletion of a version that was not collected yet.

        Args:
            ref: by number; nothing else names it any more.
            actor: who restores it.

        Raises:
            InvalidInput: ``ref`` has no number.
            NotFound: there is no such version.
            Conflict: the version is not marked for deletion, or is gone.
        """
        parsed = AdapterRef.parse(ref) if isinstance(ref, str) else ref
        if parsed.version is None:
            raise InvalidInput(f"{parsed} has no version number.", f"registry restore {parsed.name}:NUMBER")
        with self._database.write() as connection:
            deletion = deletion_of(connection, parsed.name, parsed.version)
            if deletion is None:
                version = find(connection, parsed)
                raise Conflict(f"{version} is not marked for deletion.", f"registry show {version}")
            if deletion.removed:
                raise Conflict(f"{deletion.told} Its content is gone.", "Push it again; it gets a new number.")
            connection.execute(delete(deletions).where(*_here(deletion.name, deletion.number)))
            version = find(connection, parsed)
            payload = {"number": version.number, "digest": version.digest, "due": None}
            announce(connection, "deletion", version.name, payload, action="restore", actor=actor)
            return version

    def list(self, name: str | None = None) -> Sequence[Deletion]:
        """Marked versions and tombstones, by name and number, of one adapter or of all."""
        with self._database.read() as connection:
            return deletions_of(connection, name)


def named_by(connection: Connection, name: str, number: int) -> tuple[str, str] | None:
    """What names a version, so that it cannot go: a sentence and what to type next; None where nothing does."""
    version = f"{name}:{number}"
    query = select(aliases.c.alias).where(aliases.c.name == name, aliases.c.number == number)
    if alias := connection.scalar(query.order_by(aliases.c.alias).limit(1)):
        return f"{version} cannot be deleted: {name}@{alias} names it.", f"registry promote {name}:OTHER {alias}"
    if release := involving(connection, name, number):
        hint = f"registry release stop {name}@{release.alias}"
        return f"{version} cannot be deleted: {release} is under way.", hint
    if server := serving(connection, name, number):
        return f"{version} cannot be deleted: the server {server} answers with it.", "registry replicas"
    if rule := kept_by(connection, name, number):
        hint = f"registry retention remove {rule.pattern}"
        return f"{version} cannot be deleted: a retention rule keeps it ({rule}).", hint
    return None


def serving(connection: Connection, name: str, number: int) -> ReplicaStatus | None:
    """A server that says that it answers with a version; one that fell silent lately may be cut off, and counts."""
    import json

    alive = replicas.c.heartbeat >= to_text(now() - FORGOTTEN_AFTER)
    for document in connection.scalars(select(replicas.c.document).where(alive).order_by(replicas.c.started)):
        status = ReplicaStatus.from_json(json.loads(document))
        if any((entry.name, entry.number) == (name, number) for entry in status.aliases):
            return status
    return None


def put(connection: Connection, version: AdapterVersion, actor: str, reason: str, grace: timedelta) -> Deletion:
    """Mark a version for deletion; nothing may name it."""
    at = now()
    deletion = Deletion(
        name=version.name,
        number=version.number,
        digest=version.digest,
        actor=actor,
        reason=reason,
        marked=at,
        due=at + grace,
    )
    connection.execute(insert(deletions).values(**sealed(deletion.to_json())))
    payload = {"number": deletion.number, "digest": deletion.digest, "due": to_text(deletion.due)}
    announce(connection, "deletion", deletion.name, payload, action="delete", actor=actor)
    return deletion


def bury(connection: Connection, deletion: Deletion, actor: str) -> Deletion:
    """Remove a version that is due, with all that hangs on it; its tombstone stays."""
    name, number, digest = deletion.name, deletion.number, deletion.digest
    connection.execute(delete(versions).where(versions.c.name == name, versions.c.number == number))
    for table in (tags, deprecations):
        connection.execute(delete(table).where(table.c.name == name, table.c.number == number))
    if not connection.scalar(select(versions.c.number).where(versions.c.digest == digest).limit(1)):
        for children in (artifacts, reports):
            connection.execute(delete(children).where(children.c.version_digest == digest))
    values = deletion.to_json() | {"removed": to_text(now())}
    connection.execute(
        update(deletions).where(*_here(name, number)).values(removed=values["removed"], seal=seal_of(values))
    )
    payload = {"number": number, "digest": digest, "removed": values["removed"]}
    announce(connection, "deletion", name, payload, action="collect", actor=actor)
    return Deletion.from_json(values)


def _here(name: str, number: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return deletions.c.name == name, deletions.c.number == number
