"""Webhooks: who is told of events, and what could not be delivered."""

import json
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, or_, select, update

from registry.embedded.audit import record
from registry.embedded.database import Database
from registry.embedded.tables import deliveries, events, webhooks
from registry.errors import NotFound
from registry.event import Event, valid_kinds
from registry.refs import shown
from registry.times import from_text, now, to_text
from registry.webhook import Delivery, NewWebhook, Webhook, new_secret, valid_names, valid_url

SHOWN = 1000


class Webhooks:
    """Every receiver."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, url: str, *, actor: str, kinds: Sequence[str] = (), names: Sequence[str] = ()) -> NewWebhook:
        """Post events to ``url`` from now on; what is returned holds the only copy of its secret that is shown.

        Raises:
            InvalidInput: a URL, kind or pattern that cannot be.
        """
        webhook = Webhook(
            id=secrets.token_hex(6),
            url=valid_url(url),
            kinds=valid_kinds(kinds),
            names=valid_names(names),
            created=now(),
            actor=actor,
        )
        secret = new_secret()
        with self._database.write() as connection:
            connection.execute(
                insert(webhooks).values(
                    id=webhook.id,
                    url=webhook.url,
                    kinds=json.dumps(webhook.kinds),
                    names=json.dumps(webhook.names),
                    secret=secret,
                    created=to_text(webhook.created),
                    actor=actor,
                )
            )
            record(connection, "webhook add", webhook.url, {"id": webhook.id}, actor=actor)
        return NewWebhook(webhook, secret)

    def list(self) -> Sequence[Webhook]:
        """Every webhook, oldest first, with how many deliveries wait and how many were given up."""
        counted = (
            select(webhooks, func.count(deliveries.c.event), func.count(deliveries.c.dead))
            .join(deliveries, deliveries.c.webhook == webhooks.c.id, isouter=True)
            .group_by(*webhooks.c)
            .order_by(webhooks.c.created, webhooks.c.id)
        )
        with self._database.read() as connection:
            return [_webhook(row, row[-2] - row[-1], row[-1]) for row in connection.execute(counted)]

    def remove(self, id: str, *, actor: str) -> None:  # noqa: A002 - it is the webhook's id
        """Tell it nothing any more; what waited for it is forgotten.

        Raises:
            NotFound: there is none.
        """
        with self._database.write() as connection:
            url = connection.scalar(select(webhooks.c.url).where(webhooks.c.id == id))
            if url is None:
                raise NotFound(f"No webhook is called {shown(id)}.", "registry webhook list")
            connection.execute(delete(deliveries).where(deliveries.c.webhook == id))
            connection.execute(delete(webhooks).where(webhooks.c.id == id))
            record(connection, "webhook remove", url, {"id": id}, actor=actor)

    def dead(self, webhook: str | None = None) -> Sequence[Delivery]:
        """The newest deliveries that were given up, oldest first, SHOWN at most."""
        query = with_events().where(deliveries.c.dead.is_not(None)).order_by(deliveries.c.dead.desc()).limit(SHOWN)
        if webhook is not None:
            query = query.where(deliveries.c.webhook == webhook)
        with self._database.read() as connection:
            return [delivery_of(row) for row in connection.execute(query)][::-1]

    def redeliver(self, ids: Sequence[str], *, actor: str) -> int:
        """Try given-up deliveries again from the beginning, at once.

        Args:
            ids: of deliveries; none means every one that was given up.
            actor: who asks for it.

        Returns:
            How many.

        Raises:
            NotFound: one of the ids names no delivery that was given up; then nothing is tried again.
        """
        given_up = deliveries.c.dead.is_not(None)
        chosen = given_up & or_(*(_is(id_) for id_ in ids)) if ids else given_up
        again = {"attempts": 0, "due": to_text(now()), "dead": None, "claim": ""}
        with self._database.write() as connection:
            count = connection.execute(update(deliveries).where(chosen).values(again)).rowcount
            if count < len(set(ids)):
                raise NotFound(f"Not all of {shown(' '.join(ids))} were given up.", "registry webhook dead")
            if count:
                record(connection, "webhook redeliver", ", ".join(ids) or "all", {"deliveries": count}, actor=actor)
        return count


def enqueue(connection: Connection, event: int, kind: str, subject: str, at: str) -> None:
    """Write a delivery for each webhook that hears of an event, in the transaction that makes the event true."""
    told = [row.id for row in connection.execute(select(webhooks)) if _webhook(row).hears(kind, subject)]
    if told:
        fresh = {"event": event, "attempts": 0, "due": at, "claim": "", "failure": ""}
        connection.execute(insert(deliveries), [fresh | {"webhook": id_} for id_ in told])


def with_events() -> Select[Any]:
    """Deliveries with their events and the URLs they go to."""
    return (
        select(deliveries, events, webhooks.c.url, webhooks.c.secret)
        .join(events, events.c.id == deliveries.c.event)
        .join(webhooks, webhooks.c.id == deliveries.c.webhook)
    )


def delivery_of(row: Any) -> Delivery:
    """The delivery that a row of ``with_events`` holds."""
    return Delivery(
        webhook=row.webhook,
        url=row.url,
        event=Event(
            id=row.id,
            kind=row.kind,
            subject=row.subject,
            payload=json.loads(row.payload),
            created=from_text(row.created),
        ),
        attempts=row.attempts,
        due=from_text(row.due),
        dead=from_text(row.dead) if row.dead else None,
        failure=row.failure,
    )


def _is(id_: str) -> ColumnElement[bool]:
    webhook, _, event = id_.partition("-")
    number = int(event) if event.isascii() and event.isdigit() and len(event) < 10 else 0
    return (deliveries.c.webhook == webhook) & (deliveries.c.event == number)


def _webhook(row: Any, waiting: int = 0, dead: int = 0) -> Webhook:
    return Webhook(
        id=row.id,
        url=row.url,
        kinds=tuple(json.loads(row.kinds)),
        names=tuple(json.loads(row.names)),
        created=from_text(row.created),
        actor=row.actor,
        delivered=from_text(row.delivered) if row.delivered else None,
        waiting=waiting,
        dead=dead,
    )
