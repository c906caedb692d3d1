"""Routes of reports: what evals found."""

from collections.abc import Sequence

from fastapi import APIRouter

from registry.report import EvalReport
from registry.server.bodies import StrictRoute
from registry.server.callers import Caller, Kept, Pusher, Reader
from registry.server.fields import Digest, proved_digest
from registry.server.staging import name_of

router = APIRouter(route_class=StrictRoute, tags=["reports"])


@router.post("/reports", status_code=204)
def add(caller: Pusher, registry: Kept, report: EvalReport) -> None:
    """Keep a report of a version."""
    for digest in (report.profile_fingerprint, report.suite_digest):
        proved_digest(digest)
    name_of(registry, caller, proved_digest(report.version_digest))
    registry.reports.add(report)


@router.get("/reports")
def list_reports(caller: Reader, registry: Kept, version: Digest) -> Sequence[EvalReport]:
    """The reports of a version, oldest first."""
    return registry.reports.list(version) if knows(caller, registry, version) else []


@router.get("/reports/on")
def on(caller: Reader, registry: Kept, suite: Digest, profile: Digest) -> Sequence[EvalReport]:
    """The reports of any version on one suite and profile, newest first: they share the base's answers."""
    return [one for one in registry.reports.on(suite, profile) if knows(caller, registry, one.version_digest)]


def knows(caller: Caller, registry: Kept, version_digest: str) -> bool:
    """Whether there is a version of this digest under a name that the caller may use."""
    return any(caller.may_name(version.name) for version in registry.versions.with_digest(version_digest))
