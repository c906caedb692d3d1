"""Rows of releases: what the tables ``releases`` and ``release_counts`` hold, and how one of them ends."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from registry.embedded.events import announce
from registry.embedded.tables import release_counts, releases
from registry.judge import WINDOW_MINUTES
from registry.release import RUNNING, Release
from registry.tally import CANDIDATE, CURRENT, PAIRS, Tally, added
from registry.times import now, to_text

ARMS = (CURRENT, CANDIDATE, PAIRS)
OLDER = 0
"""Stands for the minute of everything before the last WINDOW_MINUTES."""


def load(connection: Connection, *conditions: ColumnElement[bool]) -> list[Release]:
    """Releases by their start, oldest first. A registry has one writer at a time, so a writer sees them unchanged."""
    query = select(releases.c.document).where(*conditions).order_by(releases.c.started, releases.c.id)
    return [Release.from_json(json.loads(document)) for document in connection.scalars(query)]


def running(connection: Connection, name: str, alias: str) -> Release | None:
    """The one that is under way for this alias."""
    here = (releases.c.name == name) & (releases.c.alias == alias) & (releases.c.state == RUNNING)
    return next(iter(load(connection, here)), None)


def involving(connection: Connection, name: str, number: int) -> Release | None:
    """One that is under way and needs this version."""
    found = load(connection, releases.c.name == name, releases.c.state == RUNNING)
    return next((release for release in found if number in {release.current, release.candidate}), None)


def begin(connection: Connection, release: Release) -> None:
    """Write a new one."""
    key = {"id": release.id, "name": release.name, "alias": release.alias, "started": to_text(release.started)}
    document = json.dumps(release.to_json())
    connection.execute(insert(releases).values(**key, state=release.state, document=document))


def change(connection: Connection, release: Release) -> None:
    """Write one that was running as it is to be."""
    values = {"state": release.state, "document": json.dumps(release.to_json())}
    connection.execute(update(releases).where(releases.c.id == release.id).values(values))
    if not release.running:
        _fold(connection, release.id, None)


def ended(release: Release, state: str, verdict: str) -> Release:
    """The same, at its end."""
    return replace(release, state=state, ended=now(), verdict=verdict)


def tell(connection: Connection, release: Release, what: str, actor: str) -> None:
    """Write the event; the last thing in a transaction (see ``announce``)."""
    payload = {
        "id": release.id,
        "alias": release.alias,
        "kind": release.plan.kind,
        "state": release.state,
        "current": release.current,
        "candidate": release.candidate,
        "weight": release.plan.weight,
        "verdict": release.verdict,
    }
    announce(connection, "release", release.name, payload, action=f"release {what}", actor=actor)


def add_counts(connection: Connection, release: str, counted: Mapping[str, Tally], at: datetime) -> None:
    """Add to this minute's counts, and put those of minutes long past together, so that the rows stay few."""
    minute = _minute(at)
    for arm, tally in counted.items():
        if tally:
            _add(connection, release, arm, minute, tally)
    _fold(connection, release, minute - WINDOW_MINUTES)


def counts(connection: Connection, release: str, since: int = OLDER) -> Mapping[str, Tally]:
    """What was counted of each arm, of all time or from a minute on."""
    query = select(release_counts).where(release_counts.c.release == release, release_counts.c.minute >= since)
    rows = connection.execute(query).all()
    return {arm: added(_tally(row) for row in rows if row.arm == arm) for arm in ARMS}


def recent(connection: Connection, release: str, at: datetime) -> Mapping[str, Tally]:
    """What was counted in the last WINDOW_MINUTES."""
    return counts(connection, release, _minute(at) - WINDOW_MINUTES)


def _minute(at: datetime) -> int:
    return int(at.timestamp()) // 60


def _add(connection: Connection, release: str, arm: str, minute: int, tally: Tally) -> None:
    key = {"release": release, "arm": arm, "minute": minute}
    here = [release_counts.c[name] == value for name, value in key.items()]
    row = connection.execute(select(release_counts).where(*here)).one_or_none()
    total = added(iter([tally, *([_tally(row)] if row else [])]))
    connection.execute(delete(release_counts).where(*here))
    connection.execute(insert(release_counts).values(**key, document=json.dumps(total.to_json())))


def _fold(connection: Connection, release: str, before: int | None) -> None:
    """Put minutes before this one, or all, together."""
    old = (release_counts.c.release == release) & (release_counts.c.minute != OLDER)
    if before is not None:
        old &= release_counts.c.minute < before
    rows: Sequence[Any] = connection.execute(select(release_counts).where(old)).all()
    connection.execute(delete(release_counts).where(old))
    for row in rows:
        _add(connection, release, row.arm, OLDER, _tally(row))


def _tally(row: Any) -> Tally:
    return Tally.from_json(json.loads(row.document))
