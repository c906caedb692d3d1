"""Routes of webhooks."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from registry.server.bodies import StrictRoute
from registry.server.callers import Admin, Kept
from registry.server.fields import Token
from registry.webhook import NewWebhook, Webhook

router = APIRouter(route_class=StrictRoute, tags=["webhooks"])

Texts = Annotated[list[Annotated[str, Field(max_length=129)]], Field(max_length=100)]


class Wanted(BaseModel):
    """Where to post events, and which: kinds, and patterns of names; none means all."""

    url: Annotated[str, Field(max_length=2000)]
    kinds: Texts = []
    names: Texts = []


class Again(BaseModel):
    """Deliveries to try again; none means every one that was given up."""

    ids: Annotated[list[Annotated[str, Field(pattern="^[0-9a-f]{12}-[0-9]{1,10}$")]], Field(max_length=400)] = []


class Redelivered(BaseModel):
    """How many deliveries are due again."""

    redelivered: int


@router.get("/webhooks")
def list_webhooks(_caller: Admin, registry: Kept) -> Sequence[Webhook]:
    """Every webhook, without its secret."""
    return registry.webhooks.list()


@router.post("/webhooks", status_code=201)
def add(caller: Admin, registry: Kept, wanted: Wanted) -> NewWebhook:
    """Post events from now on; the answer holds the only copy of the secret that is shown."""
    return registry.webhooks.add(wanted.url, actor=caller.actor, kinds=wanted.kinds, names=wanted.names)


@router.get("/webhooks/dead")
def dead(_caller: Admin, registry: Kept, webhook: Token | None = None) -> list[dict[str, Any]]:
    """Deliveries that were given up, of one webhook or of all."""
    return [delivery.to_json() for delivery in registry.webhooks.dead(webhook)]


@router.post("/webhooks/dead")
def redeliver(caller: Admin, registry: Kept, again: Again) -> Redelivered:
    """Try given-up deliveries again."""
    return Redelivered(redelivered=registry.webhooks.redeliver(again.ids, actor=caller.actor))


@router.delete("/webhooks/{id}", status_code=204)
def remove(caller: Admin, registry: Kept, id: Token) -> None:  # noqa: A002 - it is the webhook's id
    """Post nothing more, and forget what waits."""
    registry.webhooks.remove(id, actor=caller.actor)
