"""Routes of bases: those that versions were admitted against."""

from collections.abc import Sequence

from fastapi import APIRouter

from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import NotFound, Refused
from registry.refs import valid_name
from registry.server.bodies import StrictRoute
from registry.server.callers import Caller, Kept, Pusher, Reader
from registry.server.fields import Digest

router = APIRouter(route_class=StrictRoute, tags=["bases"])


@router.post("/bases", status_code=204)
def add(caller: Pusher, registry: Kept, base: BaseModel) -> None:
    """Record a base; the same base again changes nothing. A new one takes a key for all names, or ``admin``."""
    registry.bases.add(proved(base, caller, registry))


def proved(base: BaseModel, caller: Caller, registry: EmbeddedRegistry) -> BaseModel:
    """Return a base whose name and paths are such as everybody can read back, and that the caller may use.

    Raises:
        InvalidInput: they are not.
        Refused: the registry does not know it, and the caller's key is for some names only.
    """
    valid_name(base.name)
    base = BaseModel.from_json(base.to_json())
    if caller.limited and not caller.allows("admin"):
        try:
            registry.bases.get(base.fingerprint)
        except NotFound as error:
            raise Refused(
                f"The API key {caller.id} is for some names only, and the registry does not know the base {base.name}.",
                "Let somebody with a key for all names push for this base first.",
            ) from error
    return base


@router.get("/bases")
def list_bases(_caller: Reader, registry: Kept) -> Sequence[BaseModel]:
    """All bases, by name."""
    return registry.bases.list()


@router.get("/bases/{fingerprint}")
def get(_caller: Reader, registry: Kept, fingerprint: Digest) -> BaseModel:
    """One base."""
    return registry.bases.get(fingerprint)
