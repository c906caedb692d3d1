"""Audit: a row for each change, written in the transaction that makes it."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from registry.audit_entry import DONE, AuditEntry
from registry.embedded.database import Database
from registry.embedded.tables import audit
from registry.errors import Refused
from registry.times import from_text, now, to_text

SHOWN = 200


@dataclass(frozen=True, slots=True)
class _Asker:
    actor: str = ""
    key: str = ""


_NOBODY = _Asker()
_asker: ContextVar[_Asker] = ContextVar("asker", default=_NOBODY)  # of the request that this context answers


@contextmanager
def acting(actor: str, key: str = "") -> Iterator[None]:
    """Name who is behind the changes that are made inside, in this thread or task and those it awaits.

    Args:
        actor: for changes whose method is not told an actor; one that is told is kept.
        key: id of the API key that asks, for all of them.
    """
    token = _asker.set(_Asker(actor, key))
    try:
        yield
    finally:
        _asker.reset(token)


def opened_by(database: Database, actor: str) -> None:
    """Name who is behind the changes that nobody else is named for."""
    database.engine.update_execution_options(actor=actor)


class Audit:
    """Reads who did what; nothing here changes or removes a row."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list(
        self,
        subject: str | None = None,
        *,
        actor: str | None = None,
        since: datetime | None = None,
        limit: int = SHOWN,
    ) -> Sequence[AuditEntry]:
        """The newest entries, oldest first.

        Args:
            subject: of this adapter, base, key or webhook only.
            actor: by this one only, named as they call themselves or by the id of a key.
            since: from this moment on, with its time zone.
            limit: how many at most.
        """
        query = select(audit).order_by(audit.c.id.desc()).limit(limit)
        if subject is not None:
            query = query.where(audit.c.subject == subject)
        if actor is not None:
            query = query.where((audit.c.actor == actor) | (audit.c.key == actor))
        if since is not None:
            query = query.where(audit.c.at >= to_text(since))
        with self._database.read() as connection:
            return [_entry(row) for row in connection.execute(query)][::-1]

    def refused(self, action: str, subject: str, reason: str, *, actor: str = "") -> None:
        """Keep that somebody tried, and why they could not."""
        with self._database.write() as connection:
            record(connection, action, subject, {}, actor=actor, result=f"refused: {reason}")


def record(
    connection: Connection, action: str, subject: str, detail: dict[str, Any], *, actor: str = "", result: str = DONE
) -> None:
    """Write a row in the transaction that makes it true.

    Where no actor is named and nobody is ``acting``, it is whoever opened the registry (``opened_by``).
    """
    asker = _asker.get()
    connection.execute(
        insert(audit).values(
            at=to_text(now()),
            actor=actor or asker.actor or connection.get_execution_options().get("actor", ""),
            key=asker.key,
            action=action,
            subject=subject,
            detail=json.dumps(detail, ensure_ascii=False),
            result=result,
        )
    )


@contextmanager
def recording_refusals(database: Database, action: str, subject: str, *, actor: str) -> Iterator[None]:
    """Keep a refusal of what happens inside, in a transaction of its own, since the change's is undone."""
    try:
        yield
    except Refused as error:
        Audit(database).refused(action, subject, error.message, actor=actor)
        raise


def _entry(row: Any) -> AuditEntry:
    return AuditEntry(
        id=row.id,
        at=from_text(row.at),
        actor=row.actor,
        key=row.key,
        action=row.action,
        subject=row.subject,
        detail=json.loads(row.detail),
        result=row.result,
    )
