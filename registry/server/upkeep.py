"""Routes of upkeep, for admins: deletions, retention rules and garbage collection."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from registry.collected import Collected
from registry.deletion import GRACE, MAX_GRACE, Deletion
from registry.refs import MAX_VERSION
from registry.retention import MAX_PATTERN, RetentionRule
from registry.server.bodies import StrictRoute
from registry.server.callers import Admin, Kept, Reader
from registry.server.fields import Line, Name, Ref
from registry.version import AdapterVersion

router = APIRouter(route_class=StrictRoute, tags=["upkeep"])

Pattern = Annotated[str, Field(max_length=MAX_PATTERN)]


class Mark(BaseModel):
    """Why a version is deleted, and how long that can be undone (seconds or ISO 8601)."""

    reason: Line = ""
    grace: Annotated[timedelta, Field(ge=timedelta(0), le=MAX_GRACE)] = GRACE


class Rule(BaseModel):
    """Which versions of the adapters that ``pattern`` fits are kept."""

    pattern: Pattern
    keep_last: int = Field(ge=1, le=MAX_VERSION)
    keep_aliased: bool


class RuleName(BaseModel):
    """The pattern of a rule."""

    pattern: Pattern


class Run(BaseModel):
    """Whether to look only."""

    dry_run: bool = False


@router.get("/deletions")
def list_deletions(caller: Reader, registry: Kept, name: Name | None = None) -> Sequence[Deletion]:
    """Marked versions and tombstones, of one adapter or of all that the key may name."""
    return [deletion for deletion in registry.deletions.list(name) if caller.may_name(deletion.name)]


@router.put("/deletions/{ref:path}")
def mark(caller: Admin, registry: Kept, ref: Ref, why: Mark) -> Deletion:
    """Mark a version for deletion."""
    return registry.deletions.mark(ref, actor=caller.actor, reason=why.reason, grace=why.grace)


@router.delete("/deletions/{ref:path}")
def restore(caller: Admin, registry: Kept, ref: Ref) -> AdapterVersion:
    """Undo a deletion that was not collected yet."""
    return registry.deletions.restore(ref, actor=caller.actor)


@router.get("/retention")
def list_rules(_caller: Admin, registry: Kept) -> Sequence[RetentionRule]:
    """Every rule, by pattern."""
    return registry.retention.list()


@router.put("/retention")
def set_rule(caller: Admin, registry: Kept, rule: Rule) -> RetentionRule:
    """Make the rule of a name or pattern."""
    return registry.retention.set(
        rule.pattern, keep_last=rule.keep_last, keep_aliased=rule.keep_aliased, actor=caller.actor
    )


@router.post("/retention/remove", status_code=204)
def remove_rule(caller: Admin, registry: Kept, rule: RuleName) -> None:
    """Take a rule back."""
    registry.retention.remove(rule.pattern, actor=caller.actor)


@router.post("/collection")
def collect(caller: Admin, registry: Kept, run: Run) -> Collected:
    """Apply retention rules, carry out deletions that are due, remove content that nothing names."""
    return registry.collection.run(actor=caller.actor, dry_run=run.dry_run)
