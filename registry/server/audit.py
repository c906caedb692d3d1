"""The route of the audit."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from registry.audit_entry import AuditEntry
from registry.server.bodies import StrictRoute
from registry.server.callers import Admin, Kept

router = APIRouter(route_class=StrictRoute, tags=["audit"])

Text = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]


@router.get("/audit")
def audit(
    _caller: Admin,
    registry: Kept,
    subject: Text | None = None,
    actor: Text | None = None,
    since: AwareDatetime | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 200,
) -> Sequence[AuditEntry]:
    """Who did what: the newest entries, oldest first."""
    return registry.audit.list(subject, actor=actor, since=since, limit=limit)
