"""Routes of bases: those that versions were admitted against."""

from collections.abc import Sequence

from fastapi import APIRouter

from registry.base_model import BaseModel
from registry.refs import valid_name
from registry.server.bodies import StrictRoute
from registry.server.callers import Kept, Pusher, Reader
from registry.server.fields import Digest

router = APIRouter(route_class=StrictRoute, tags=["bases"])


@router.post("/bases", status_code=204)
def add(_caller: Pusher, registry: Kept, base: BaseModel) -> None:
    """Record a base; the same base again changes nothing."""
    registry.bases.add(proved(base))


def proved(base: BaseModel) -> BaseModel:
    """Return a base whose name and paths are such as everybody can read back.

    Raises:
        InvalidInput: they are not.
    """
    valid_name(base.name)
    return BaseModel.from_json(base.to_json())


@router.get("/bases")
def list_bases(_caller: Reader, registry: Kept) -> Sequence[BaseModel]:
    """All bases, by name."""
    return registry.bases.list()


@router.get("/bases/{fingerprint}")
def get(_caller: Reader, registry: Kept, fingerprint: Digest) -> BaseModel:
    """One base."""
    return registry.bases.get(fingerprint)
