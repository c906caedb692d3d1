"""Deliveries: what is due to webhooks, claimed by one process at a time."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import ColumnElement, delete, select, update

from registry.embedded.database import Database
from registry.embedded.tables import deliveries, webhooks
from registry.embedded.webhooks import delivery_of, with_events
from registry.times import to_text
from registry.webhook import Delivery


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that one process may attempt now.

    Attributes:
        delivery: what to post.
        secret: what signs it.
        token: proves that the claim is still held when its outcome is written.
    """

    delivery: Delivery
    secret: str = field(repr=False)
    token: str


class Deliveries:
    """The queue between the outbox and the webhooks; a delivery leaves it when it was made or its webhook is removed.

    A claim runs out by itself, so what a killed process had claimed is attempted by another: at least once, and not
    twice at the same time while no attempt outlives its claim.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self, at: datetime) -> Sequence[str]:
        """Ids of the webhooks that something is due to."""
        ready = deliveries.c.dead.is_(None) & (deliveries.c.due <= to_text(at))
        query = select(deliveries.c.webhook).where(ready).distinct().order_by(deliveries.c.webhook)
        with self._database.read() as connection:
            return connection.scalars(query).all()

    def claim(self, webhook: str, *, at: datetime, until: datetime, limit: int) -> Sequence[Claim]:
        """Take what is due to a webhook, longest waiting first; nobody else gets it before ``until``."""
        token = secrets.token_hex(16)
        query = (
            with_events()
            .where(deliveries.c.webhook == webhook, deliveries.c.dead.is_(None), deliveries.c.due <= to_text(at))
            .order_by(deliveries.c.due, deliveries.c.event)
            .limit(limit)
        )
        with self._database.write() as connection:
            rows = connection.execute(query).all()
            taken = (deliveries.c.webhook == webhook) & deliveries.c.event.in_([row.event for row in rows])
            connection.execute(update(deliveries).where(taken).values(due=to_text(until), claim=token))
        return [Claim(delivery_of(row), row.secret, token) for row in rows]

    def delivered(self, claim: Claim, at: datetime) -> None:
        """The receiver has taken it."""
        webhook, event = claim.delivery.webhook, claim.delivery.event.id
        with self._database.write() as connection:
            connection.execute(update(webhooks).where(webhooks.c.id == webhook).values(delivered=to_text(at)))
            done = (deliveries.c.webhook == webhook) & (deliveries.c.event == event)
            connection.execute(delete(deliveries).where(done))

    def failed(self, claim: Claim, failure: str, *, at: datetime, due: datetime | None) -> None:
        """The attempt has failed; it is made again at ``due``, or given up where that is None.

        Changes nothing where the claim has run out and another process has taken it.
        """
        changed = {
            "attempts": deliveries.c.attempts + 1,
            "due": to_text(due or at),
            "dead": None if due else to_text(at),
            "claim": "",
            "failure": failure,
        }
        with self._database.write() as connection:
            connection.execute(update(deliveries).where(_held(claim)).values(changed))

    def release(self, claim: Claim, at: datetime) -> None:
        """Nobody knows what came of the attempt: another may make it at once."""
        with self._database.write() as connection:
            connection.execute(update(deliveries).where(_held(claim)).values(due=to_text(at), claim=""))


def _held(claim: Claim) -> ColumnElement[bool]:
    return (
        (deliveries.c.webhook == claim.delivery.webhook)
        & (deliveries.c.event == claim.delivery.event.id)
        & (deliveries.c.claim == claim.token)
    )
