"""Routes of releases: started and ended with the scope ``promote``, counted by servers with ``admin``."""

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from registry.embedded.registry import EmbeddedRegistry
from registry.refs import AdapterRef
from registry.release import MOST_TEXTS, Plan, Release
from registry.server.bodies import StrictRoute
from registry.server.callers import Admin, Caller, Kept, Promoter, Reader
from registry.server.fields import AliasName, Batch, Line, Name, Ref, Token
from registry.tally import Tally

router = APIRouter(route_class=StrictRoute, tags=["releases"])

Text = Annotated[str, Field(max_length=1 << 17)]


class Start(BaseModel):
    """Which version is to follow under which alias, and how."""

    ref: Ref
    alias: AliasName
    plan: Plan
    reason: Line = ""
    force: bool = False


class Target(BaseModel):
    """The alias whose release is meant."""

    name: Name
    alias: AliasName


class Weight(Target):
    """The candidate's new share."""

    weight: float = Field(ge=0, le=1)


class Stop(Target):
    """Why it ends."""

    reason: Line = ""


class Promotion(Stop):
    """``force`` overrules the gate and needs a reason."""

    force: bool = False


class Report(BaseModel):
    """What a server has counted since its last report."""

    counted: dict[Token, Tally] = Field(max_length=3)
    texts: list[dict[Token, Text]] = Field(default=[], max_length=MOST_TEXTS)
    failure: Line = ""
    batch: Batch = ""


@router.get("/releases")
def list_releases(caller: Reader, registry: Kept, name: Name | None = None, running: bool = False) -> Sequence[Release]:
    """Releases of one adapter, or of all that the key may name, oldest first."""
    return registry.releases.list(name, running=running, may_see=caller.may_name)


@router.post("/releases", status_code=201)
def start(caller: Promoter, registry: Kept, asked: Start) -> Release:
    """Begin a release; a watch moves the alias at once."""
    caller.prove_may_name(AdapterRef.parse(asked.ref).name)
    return registry.releases.start(
        asked.ref, asked.alias, asked.plan, actor=caller.actor, reason=asked.reason, force=asked.force
    )


@router.post("/releases/weight")
def weigh(caller: Promoter, registry: Kept, asked: Weight) -> Release:
    """Change the candidate's share of the requests."""
    caller.prove_may_name(asked.name)
    return registry.releases.weigh(asked.name, asked.alias, asked.weight, actor=caller.actor)


@router.post("/releases/stop")
def stop(caller: Promoter, registry: Kept, asked: Stop) -> Release:
    """End the release; the alias stays where it is."""
    caller.prove_may_name(asked.name)
    return registry.releases.stop(asked.name, asked.alias, actor=caller.actor, reason=asked.reason)


@router.post("/releases/promote")
def promote(caller: Promoter, registry: Kept, asked: Promotion) -> Release:
    """End the release; the alias moves to the candidate."""
    caller.prove_may_name(asked.name)
    return registry.releases.promote(
        asked.name, asked.alias, actor=caller.actor, reason=asked.reason, force=asked.force
    )


@router.get("/releases/{id}/counts")
def counts(caller: Reader, registry: Kept, id: Token) -> Mapping[str, Tally]:  # noqa: A002 - the release's id
    """What every server has counted so far."""
    _prove_may_see(caller, registry, id)
    return registry.releases.counts(id)


@router.get("/releases/{id}/texts")
def texts(caller: Reader, registry: Kept, id: Token) -> Sequence[dict[str, str]]:  # noqa: A002 - the release's id
    """The last pairs of answers that were kept."""
    _prove_may_see(caller, registry, id)
    return registry.releases.texts(id)


@router.post("/releases/{id}/report")
def report(_caller: Admin, registry: Kept, id: Token, told: Report) -> Release:  # noqa: A002 - the release's id
    """Add what a server has counted, and decide; what it tells of a release that has ended is dropped.

    The counts and texts of a batch that was added are not added again.
    """
    return registry.releases.report(id, told.counted, texts=told.texts, failure=told.failure, batch=told.batch)


def _prove_may_see(caller: Caller, registry: EmbeddedRegistry, id: str) -> None:  # noqa: A002 - the release's id
    caller.prove_may_name(registry.releases.find(id).name)
