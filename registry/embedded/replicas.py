"""Replicas: the servers that run now, each with a row that it keeps fresh."""

import json
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import delete, insert, select, update

from registry.embedded.database import Database
from registry.embedded.tables import replicas
from registry.replica_status import ReplicaStatus
from registry.times import now, to_text

FORGOTTEN_AFTER = timedelta(hours=1)
"""Rows of servers that were killed are removed after this; a server that was only cut off writes its row again."""


class Replicas:
    """What servers say of themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, status: ReplicaStatus) -> None:
        """Say what a server does now; its heartbeat is taken from the status."""
        with self._database.write() as connection:
            forgotten = to_text(now() - FORGOTTEN_AFTER)
            connection.execute(
                delete(replicas).where((replicas.c.id == status.id) | (replicas.c.heartbeat < forgotten))
            )
            connection.execute(
                insert(replicas).values(
                    id=status.id,
                    base_fingerprint=status.base_fingerprint,
                    document=json.dumps(status.to_json()),
                    started=to_text(status.started),
                    heartbeat=to_text(status.heartbeat),
                )
            )

    def beat(self, id: str) -> bool:  # noqa: A002 - it is the replica's id
        """Say that a server lives. Returns whether its row was there; if not, it has to be put again."""
        with self._database.write() as connection:
            query = update(replicas).where(replicas.c.id == id).values(heartbeat=to_text(now()))
            return connection.execute(query).rowcount > 0

    def remove(self, id: str) -> None:  # noqa: A002 - it is the replica's id
        """A server has stopped; an id that is not there is no error."""
        with self._database.write() as connection:
            connection.execute(delete(replicas).where(replicas.c.id == id))

    def list(self, base_fingerprint: str | None = None) -> Sequence[ReplicaStatus]:
        """Servers of one base, or all, oldest first; also those that have fallen silent."""
        query = select(replicas.c.document, replicas.c.heartbeat).order_by(replicas.c.started, replicas.c.id)
        if base_fingerprint is not None:
            query = query.where(replicas.c.base_fingerprint == base_fingerprint)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return [_status(row.document, row.heartbeat) for row in rows]


def _status(document: str, heartbeat: str) -> ReplicaStatus:
    return ReplicaStatus.from_json(json.loads(document) | {"heartbeat": heartbeat})
