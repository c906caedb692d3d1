"""Events: the outbox that servers and watchers follow."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select

from registry.embedded.database import Database
from registry.embedded.tables import events
from registry.event import Event
from registry.times import from_text, now, to_text


class Events:
    """Reads the outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(self, id: int, limit: int = 500) -> Sequence[Event]:  # noqa: A002 - it is the event's id
        """The events that followed the one with this id, oldest first; 0 means from the beginning."""
        query = select(events).where(events.c.id > id).order_by(events.c.id).limit(limit)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [
            Event(
                id=row.id,
                kind=row.kind,
                subject=row.subject,
                payload=json.loads(row.payload),
                created=from_text(row.created),
            )
            for row in rows
        ]

    def last_id(self) -> int:
        """Id of the newest event, 0 where there is none."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(events.c.id))) or 0


def announce(connection: Connection, kind: str, subject: str, payload: dict[str, Any]) -> None:
    """Write an event in the transaction that makes it true."""
    connection.execute(
        insert(events).values(kind=kind, subject=subject, payload=json.dumps(payload), created=to_text(now()))
    )
