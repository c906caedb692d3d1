"""Webhooks of a registry behind a server, which delivers them."""

from collections.abc import Sequence
from typing import Any

from registry.remote.connection import Connection
from registry.webhook import Delivery, NewWebhook, Webhook


class Webhooks:
    """Who is told of events; fills ``registry.rooms.Webhooks``. The server knows the actor by the key."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, url: str, *, actor: str, kinds: Sequence[str] = (), names: Sequence[str] = ()) -> NewWebhook:  # noqa: ARG002 - see the class
        """Post events to ``url`` from now on."""
        wanted = {"url": url, "kinds": list(kinds), "names": list(names)}
        made: NewWebhook = self._connection.ask(NewWebhook, "POST", "/webhooks", json=wanted)
        return made

    def list(self) -> Sequence[Webhook]:
        """Every webhook, oldest first."""
        webhooks: Sequence[Webhook] = self._connection.ask(Sequence[Webhook], "GET", "/webhooks")
        return webhooks

    def remove(self, id: str, *, actor: str) -> None:  # noqa: A002, ARG002 - it is the webhook's id; see the class
        """Tell it nothing any more."""
        self._connection.ask(None, "DELETE", "/webhooks/{}", id)

    def dead(self, webhook: str | None = None) -> Sequence[Delivery]:
        """The newest deliveries that were given up, oldest first."""
        params = {} if webhook is None else {"webhook": webhook}
        documents = self._connection.ask(Sequence[dict[str, Any]], "GET", "/webhooks/dead", params=params)
        return [Delivery.from_json(document) for document in documents]

    def redeliver(self, ids: Sequence[str], *, actor: str) -> int:  # noqa: ARG002 - see the class
        """Try given-up deliveries again, all where no id is given, and say how many."""
        done = self._connection.ask(dict[str, int], "POST", "/webhooks/dead", json={"ids": list(ids)})
        return int(done["redelivered"])
