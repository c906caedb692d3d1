"""How a release ends: what the judge or the clock says, and what is written then."""

from datetime import datetime

from sqlalchemy import Connection

from registry.alias import HALT, REJECT
from registry.embedded import release_rows as rows
from registry.embedded.gate import prove_passed
from registry.embedded.moving import move_alias, remark
from registry.embedded.signatures import prove_signed
from registry.embedded.versions import find
from registry.errors import Refused
from registry.judge import verdict
from registry.refs import AdapterRef
from registry.release import PROMOTED, ROLLED_BACK, STOP, STOPPED, WATCH, Release
from registry.tally import CANDIDATE, CURRENT
from registry.version import AdapterVersion

JUDGE = "adaptory"
"""Who is written into the history where nobody decided."""


def judged(connection: Connection, release: Release, failure: str, at: datetime) -> Release | None:
    """The release at its end, or None where it goes on; ``failure`` is why a server can never serve the candidate."""
    total, recent = rows.counts(connection, release.id), rows.recent(connection, release.id, at)
    if release.plan.kind == WATCH:  # nothing answers beside it: it is compared with what was counted before it
        recent = {**recent, CURRENT: total[CURRENT]}
    if why := failure or verdict((total, recent), release.plan.limits):
        return rows.ended(release, ROLLED_BACK, why)
    if release.due(at):
        return rows.ended(release, *_due(connection, release, total[CANDIDATE]["requests"]))
    return None


def conclude(connection: Connection, release: Release, actor: str) -> Release:
    """Write the end of a release, where it belongs."""
    rows.change(connection, release)
    name, alias, said = release.name, release.alias, f"{release}: {release.verdict}"
    current = version(connection, name, release.current)
    if release.plan.kind == WATCH:
        if release.state == ROLLED_BACK:
            move_alias(connection, current, alias, kind="rollback", actor=actor, reason=said, forced=False)
    elif release.state == PROMOTED:
        candidate = version(connection, name, release.candidate)
        move_alias(connection, candidate, alias, kind="promote", actor=actor, reason=said, forced=release.forced)
    else:
        kind = REJECT if release.state == ROLLED_BACK else HALT
        remark(connection, current, alias, kind=kind, actor=actor, reason=said, forced=False)
    rows.tell(connection, release, "end", actor)
    return release


def prove_promotable(connection: Connection, candidate: AdapterVersion, alias: str, *, forced: bool) -> None:
    """Prove what a promotion demands.

    Raises:
        Refused: the alias is protected and the version has no passing report, or a signature is missing that a policy
            asks for; ``forced`` overrules the first only.
    """
    if not forced:
        prove_passed(connection, candidate, alias)
    prove_signed(connection, candidate.name, candidate.digest)


def version(connection: Connection, name: str, number: int) -> AdapterVersion:
    """One of the two.

    Raises:
        NotFound: it was deleted.
    """
    return find(connection, AdapterRef(name, version=number))


def _due(connection: Connection, release: Release, number: int) -> tuple[str, str]:
    """State and verdict of a release whose time is over, and which has kept its limits."""
    plan, needed = release.plan, release.plan.limits.min_requests
    kept = f"It kept its limits for {plan.seconds:g} s and {number} requests."
    if plan.kind == WATCH:
        return PROMOTED, kept
    if plan.then == STOP:
        return STOPPED, kept
    if number < needed:
        return STOPPED, f"Only {number} of {needed} requests came in its time."
    try:
        candidate = version(connection, release.name, release.candidate)
        prove_promotable(connection, candidate, release.alias, forced=release.forced)
    except Refused as error:
        return STOPPED, f"{kept} {error.message}"
    return PROMOTED, kept
