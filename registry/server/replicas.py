"""Routes of replicas: the servers that run, and what they say of themselves."""

from collections.abc import Sequence
from dataclasses import replace

from fastapi import APIRouter
from pydantic import BaseModel

from registry.errors import InvalidInput
from registry.replica_status import ReplicaStatus
from registry.server.bodies import StrictRoute
from registry.server.callers import Admin, Kept, Reader
from registry.server.fields import Digest, Token, proved_digest

router = APIRouter(route_class=StrictRoute, tags=["replicas"])


class Beat(BaseModel):
    """Whether the replica's row was there; if not, it has to be put again."""

    known: bool


@router.put("/replicas/{id}", status_code=204)
def put(_caller: Admin, registry: Kept, id: Token, status: ReplicaStatus) -> None:  # noqa: A002 - the replica's id
    """Say what a server does now."""
    proved_digest(status.base_fingerprint)
    if status.id != id:
        raise InvalidInput("The body tells of another replica than the path.")
    registry.replicas.put(status)


@router.post("/replicas/{id}/beat")
def beat(_caller: Admin, registry: Kept, id: Token) -> Beat:  # noqa: A002 - the replica's id
    """Say that a server lives."""
    return Beat(known=registry.replicas.beat(id))


@router.delete("/replicas/{id}", status_code=204)
def remove(_caller: Admin, registry: Kept, id: Token) -> None:  # noqa: A002 - the replica's id
    """A server has stopped; an id that is not there is no error."""
    registry.replicas.remove(id)


@router.get("/replicas")
def list_replicas(caller: Reader, registry: Kept, base: Digest | None = None) -> Sequence[ReplicaStatus]:
    """Servers of one base, or all, oldest first, with those aliases that the key may name."""
    return [
        replace(one, aliases=tuple(alias for alias in one.aliases if caller.may_name(alias.name)))
        for one in registry.replicas.list(base)
    ]
