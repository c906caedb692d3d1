"""Collection: garbage collection, which carries out deletions and removes content that nothing names."""

import json
from collections.abc import Collection as Several
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from itertools import islice

from sqlalchemy import Connection, select

from registry.collected import Collected
from registry.deletion import GRACE, Deletion
from registry.embedded.blob_store import BlobStore
from registry.embedded.database import Database
from registry.embedded.deletions import bury, named_by, put
from registry.embedded.retention import unkept
from registry.embedded.tables import adapters, artifacts, versions
from registry.embedded.tombstones import deletion_of, deletions_of
from registry.embedded.versions import find
from registry.errors import Refused
from registry.refs import AdapterRef
from registry.times import now

FRESH = timedelta(hours=1)
"""Content that was kept so lately may belong to a push that is not visible yet, and is left alone."""

BATCH = 50
"""Blobs removed in one transaction, so that pushes wait for a moment only."""


class Collection:
    """Takes what nothing names any more, and nothing else.

    A version goes in one transaction, its content after that: a kill in between leaves content that the next run
    takes. Content goes inside a write transaction, of which there is one at a time (decision 11); a push proves in the
    one that makes it visible that all its content is there, and keeps again what is not.
    """

    def __init__(self, database: Database, blobs: BlobStore, *, apart: bool) -> None:
        """``apart``: the content lies in a place of its own, which might be another registry's."""
        self._database = database
        self._blobs = blobs
        self._apart = apart

    def run(
        self, *, actor: str, dry_run: bool = False, grace: timedelta = GRACE, fresh: timedelta = FRESH
    ) -> Collected:
        """Apply retention rules, carry out deletions that are due, remove content that nothing names.

        Args:
            actor: who runs it.
            dry_run: change nothing, and say what would be done.
            grace: of what retention rules delete now.
            fresh: content that was kept within this time is left alone.

        Raises:
            Refused: there is content apart that nothing names, and nothing was ever pushed to this registry.
        """
        marked = tuple(self._retain(actor, grace, dry_run))
        removed, kept = self._carry_out(actor, dry_run)
        if not dry_run:
            with self._blobs.stage():
                pass  # removes what killed pushes left in staging
        going = {(one.name, one.number) for one in removed}
        blobs, size = 0, 0
        for batch in _batches(self._candidates(now() - fresh, going)):
            self._prove_ours()
            taken = batch if dry_run else self._remove(batch)
            blobs, size = blobs + len(taken), size + sum(taken.values())
        return Collected(marked=marked, removed=tuple(removed), kept=tuple(kept), blobs=blobs, size=size)

    def _prove_ours(self) -> None:
        """A mistyped registry becomes an empty one, which names nothing of the content that it was given."""
        with self._database.read() as connection:
            if self._apart and connection.scalar(select(adapters.c.name).limit(1)) is None:
                raise Refused(
                    "Nothing was ever pushed to this registry, so the content at ADAPTORY_BLOBS is not its own.",
                    "See that ADAPTORY_REGISTRY names the right one.",
                )

    def _retain(self, actor: str, grace: timedelta, dry_run: bool) -> Iterator[Deletion]:
        """Mark what retention rules do not keep and nothing names."""
        with self._database.read() as connection:
            names = connection.scalars(select(adapters.c.name).order_by(adapters.c.name)).all()
            names = [name for name in names if unkept(connection, name)]
        for name in names:
            with self._changing(dry_run) as connection:
                for number in unkept(connection, name):
                    version = find(connection, AdapterRef(name, version=number))
                    if named_by(connection, name, number):
                        continue
                    if dry_run:
                        yield _planned(version.name, number, version.digest, actor, grace)
                    else:
                        yield put(connection, version, actor, "a retention rule no longer keeps it", grace)

    def _carry_out(self, actor: str, dry_run: bool) -> tuple[list[Deletion], list[tuple[Deletion, str]]]:
        removed: list[Deletion] = []
        kept: list[tuple[Deletion, str]] = []
        with self._database.read() as connection:
            due = [one for one in deletions_of(connection) if not one.removed and one.due <= now()]
        for one in due:
            with self._changing(dry_run) as connection:
                if deletion_of(connection, one.name, one.number) != one:
                    continue  # restored meanwhile
                if reason := named_by(connection, one.name, one.number):
                    kept.append((one, reason[0]))
                else:
                    removed.append(one if dry_run else bury(connection, one, actor))
        return removed, kept

    def _changing(self, dry_run: bool) -> AbstractContextManager[Connection]:
        return self._database.read() if dry_run else self._database.write()

    def _candidates(self, before: datetime, going: Several[tuple[str, int]]) -> Iterator[tuple[str, int]]:
        """Content, with its size, that nothing names and that is not fresh."""
        with self._database.read() as connection:
            named = _named(connection, going)
        for digest, size, kept in self._blobs.digests():
            if digest not in named and kept <= before:
                yield digest, size

    def _remove(self, batch: dict[str, int]) -> dict[str, int]:
        with self._database.write() as connection:
            named = _named(connection, ())
            taken = {digest: size for digest, size in batch.items() if digest not in named}
            for digest in taken:
                connection.execute(select(1))  # raises where the connection was lost, and with it the writers' lock
                self._blobs.remove(digest)
        return taken


def _named(connection: Connection, without: Several[tuple[str, int]]) -> set[str]:
    """Digests of all content that a version or an artifact names.

    Args:
        connection: of the transaction.
        without: (name, number) of versions that do not count.
    """
    digests: set[str] = set()
    alive: set[str] = set()
    going: set[str] = set()
    query = select(versions.c.name, versions.c.number, versions.c.digest, versions.c.manifest)
    for row in connection.execute(query):
        if (row.name, row.number) in without:
            going.add(row.digest)
            continue
        alive.add(row.digest)
        digests.update(entry["sha256"] for entry in json.loads(row.manifest)["files"])
    for child in connection.execute(select(artifacts.c.version_digest, artifacts.c.document)):
        if child.version_digest not in going - alive:
            digests.update(entry["sha256"] for entry in json.loads(child.document)["files"])
    return digests


def _planned(name: str, number: int, digest: str, actor: str, grace: timedelta) -> Deletion:
    reason = "a retention rule no longer keeps it"
    at = now()
    return Deletion(name=name, number=number, digest=digest, actor=actor, reason=reason, marked=at, due=at + grace)


def _batches(candidates: Iterator[tuple[str, int]]) -> Iterator[dict[str, int]]:
    while batch := dict(islice(candidates, BATCH)):
        yield batch
