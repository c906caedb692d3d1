"""Events: the outbox that servers and watchers follow."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select

from registry.embedded.audit import record
from registry.embedded.database import Database
from registry.embedded.tables import events
from registry.embedded.webhooks import enqueue
from registry.event import Event
from registry.times import from_text, now, to_text

POLL_SECONDS = 0.25


class Events:
    """Reads the outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(
        self,
        id: int,  # noqa: A002 - it is the event's id
        limit: int = 500,
        *,
        kinds: Sequence[str] = (),
        names: Sequence[str] = (),
        within: Sequence[str] = (),
    ) -> Sequence[Event]:
        """The events that followed the one with this id, oldest first; 0 means from the beginning.

        Args:
            id: of the last one that was seen.
            limit: how many at most.
            kinds: of these kinds only; none means all.
            names: with these subjects only, ``*`` standing for anything; none means all.
            within: of those, the subjects that one of these fits too: the patterns of whoever asks; none means all.
        """
        query = select(events).where(events.c.id > id).order_by(events.c.id).limit(limit)
        if kinds:
            query = query.where(events.c.kind.in_(kinds))
        for patterns in (names, within):
            if patterns:
                query = query.where(or_(*(_named(pattern) for pattern in patterns)))
        with self._database.read() as connection:
            return [event_of(row) for row in connection.execute(query)]

    def last_id(self, *, fresh: bool = False) -> int:  # noqa: ARG002 - this is always fresh; a remote one may lag
        """Id of the newest event, 0 where there is none."""
        with self._database.read() as connection:
            return connection.scalar(select(func.max(events.c.id))) or 0

    def follow(self, after: int, *, kinds: Sequence[str] = (), names: Sequence[str] = ()) -> Iterator[Event]:
        """Every event that follows, as it happens, until the caller stops. Blocks; arguments as ``after``'s."""
        while True:
            for event in self.after(after, kinds=kinds, names=names):
                yield event
                after = event.id
            time.sleep(POLL_SECONDS)

    def close(self) -> None:
        """Nothing is open here; a remote one has a stream."""


def announce(
    connection: Connection, kind: str, subject: str, payload: dict[str, Any], *, action: str = "", actor: str = ""
) -> None:
    """Write an event, its deliveries and its row in the audit in the transaction that makes it true.

    Writers are alone (``Database.write``), so a reader sees no id before every smaller one.

    Args:
        connection: of the transaction.
        kind: one of ``registry.event.KINDS``.
        subject: what changed: an adapter's name, a base's or a key's.
        payload: how.
        action: what the audit calls it; by default the kind.
        actor: who did it; by default whom ``registry.embedded.audit.acting`` named.
    """
    created = to_text(now())
    row = {"kind": kind, "subject": subject, "payload": json.dumps(payload), "created": created}
    id_ = connection.execute(insert(events).values(row).returning(events.c.id)).scalar_one()
    enqueue(connection, id_, kind, subject, created)
    record(connection, action or kind, subject, payload, actor=actor)


def event_of(row: Any) -> Event:
    """The event that a row of the table ``events`` holds."""
    return Event(
        id=row.id, kind=row.kind, subject=row.subject, payload=json.loads(row.payload), created=from_text(row.created)
    )


def _named(pattern: str) -> ColumnElement[bool]:
    if "*" not in pattern:
        return events.c.subject == pattern
    literal = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return events.c.subject.like(literal.replace("*", "%"), escape="\\")
