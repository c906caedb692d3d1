"""Routes of marks: deprecations and tags."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from registry.deprecation import Deprecation
from registry.refs import AdapterRef
from registry.server.bodies import StrictRoute
from registry.server.callers import Kept, Pusher, Reader
from registry.server.fields import Line, Name, Ref
from registry.version import AdapterVersion

router = APIRouter(route_class=StrictRoute, tags=["marks"])

MOST_TAGS = 256

Text = Annotated[str, Field(max_length=1024)]


class Reason(BaseModel):
    """Why a version should no longer be used."""

    reason: Line


class Tags(BaseModel):
    """The tags of a version."""

    name: str
    number: int
    tags: Mapping[str, str]


class TagChange(BaseModel):
    """Tags to set, and names of tags to take away."""

    add: dict[Text, Text] = Field(default={}, max_length=MOST_TAGS)
    remove: list[Text] = Field(default=[], max_length=MOST_TAGS)


@router.get("/deprecations")
def list_deprecations(caller: Reader, registry: Kept, name: Name | None = None) -> Sequence[Deprecation]:
    """Deprecations by name and number, of one adapter or of all that the key may name."""
    return [mark for mark in registry.marks.deprecations(name) if caller.may_name(mark.name)]


@router.put("/deprecations/{ref:path}")
def deprecate(caller: Pusher, registry: Kept, ref: Ref, why: Reason) -> Deprecation:
    """Say that a version should no longer be used."""
    caller.prove_may_name(AdapterRef.parse(ref).name)
    return registry.marks.deprecate(ref, actor=caller.actor, reason=why.reason)


@router.delete("/deprecations/{ref:path}")
def undo(caller: Pusher, registry: Kept, ref: Ref) -> AdapterVersion:
    """Take a deprecation back."""
    caller.prove_may_name(AdapterRef.parse(ref).name)
    return registry.marks.undo(ref, actor=caller.actor)


@router.get("/tags")
def list_tags(caller: Reader, registry: Kept, name: Name | None = None) -> Sequence[Tags]:
    """The tags of each version that has some, of one adapter or of all that the key may name."""
    found = registry.marks.tags(name).items()
    return [Tags(name=of, number=number, tags=tags) for (of, number), tags in found if caller.may_name(of)]


@router.patch("/tags/{ref:path}")
def tag(caller: Pusher, registry: Kept, ref: Ref, change: TagChange) -> Mapping[str, str]:
    """Set tags of a version, take others away, and return what it has then."""
    caller.prove_may_name(AdapterRef.parse(ref).name)
    return registry.marks.tag(ref, change.add, change.remove, actor=caller.actor)
