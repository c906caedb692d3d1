"""Batches: which sums were added already, for servers that heard no answer and send them again."""

from datetime import timedelta

from sqlalchemy import Connection, delete, insert, select

from registry.embedded.tables import batches
from registry.times import now, to_text

KEPT = timedelta(days=1)


def is_new(connection: Connection, batch: str) -> bool:
    """Whether the batch is still to be added, and remember it in the transaction that does so.

    Args:
        connection: with the transaction.
        batch: its id, which who sends it keeps until it is acknowledged; empty for what is never sent again.
    """
    if not batch:
        return True
    if connection.scalar(select(batches.c.id).where(batches.c.id == batch)):
        return False
    at = now()
    connection.execute(delete(batches).where(batches.c.created < to_text(at - KEPT)))
    connection.execute(insert(batches).values(id=batch, created=to_text(at)))
    return True
