"""Releases: started and ended by people, counted by servers, judged here, each step one transaction.

Every server reports what it has counted; whichever report crosses a limit ends the release in its own transaction, so
that there is one decision however many servers there are, and each of them hears of it as it hears of aliases.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from registry.alias import RELEASE
from registry.embedded import release_rows as rows
from registry.embedded.audit import recording_refusals
from registry.embedded.batches import is_new
from registry.embedded.database import Database
from registry.embedded.moving import move_alias, remark
from registry.embedded.release_end import JUDGE, conclude, judged, prove_promotable, version
from registry.embedded.tables import aliases, release_texts, releases
from registry.embedded.versions import find
from registry.errors import Conflict, InvalidInput, NotFound
from registry.refs import AdapterRef, shown, valid_alias, valid_name
from registry.release import (
    PROMOTED,
    RUNNING,
    SHADOW,
    STOPPED,
    WATCH,
    Plan,
    Release,
    new_release,
)
from registry.tally import Tally
from registry.times import now
from registry.version import AdapterVersion

SHOWN = 200
MOST_CHARACTERS = 4000


class Releases:
    """New versions that take over aliases step by step."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(
        self, ref: AdapterRef | str, alias: str, plan: Plan, *, actor: str, reason: str = "", force: bool = False
    ) -> Release:
        """Begin a release of the version that ``ref`` names; a watch moves the alias there and then.

        Raises:
            NotFound: there is no such version, or the alias names none that could be compared.
            Conflict: a release of this alias is under way, or the alias names the version already.
            Refused: the alias is protected and the version has no passing report, or a signature is missing.
            InvalidInput: ``force`` without a reason, or a version of another base than the alias's.
        """
        valid_alias(alias)
        if force and not reason:
            raise InvalidInput("A forced release needs a reason; it goes into the history.", "Add --reason WHY.")
        ref = AdapterRef.parse(ref) if isinstance(ref, str) else ref
        audited = recording_refusals(self._database, "release start", ref.name, actor=actor)
        with audited, self._database.write() as connection:
            candidate = find(connection, ref)
            current = _current(connection, candidate, alias)
            if plan.kind != SHADOW:
                prove_promotable(connection, candidate, alias, forced=force)
            release = new_release(
                name=candidate.name,
                alias=alias,
                current=current.number,
                current_digest=current.digest,
                candidate=candidate.number,
                candidate_digest=candidate.digest,
                plan=plan,
                forced=force,
                actor=actor,
                reason=reason,
            )
            if plan.kind == WATCH:
                move_alias(connection, candidate, alias, kind="promote", actor=actor, reason=reason, forced=force)
            else:
                said = f"{plan.kind} of {candidate} at {plan.weight:.4g}" + (f": {reason}" if reason else "")
                remark(connection, current, alias, kind=RELEASE, actor=actor, reason=said, forced=force)
            rows.begin(connection, release)
            rows.tell(connection, release, "start", actor)
            return release

    def get(self, name: str, alias: str) -> Release:
        """The newest release of an alias.

        Raises:
            NotFound: it never had one.
        """
        valid_name(name)
        valid_alias(alias)
        with self._database.read() as connection:
            found = rows.load(connection, releases.c.name == name, releases.c.alias == alias)
        if not found:
            raise NotFound(f"{name}@{alias} has had no release.", f"registry release start {name}:2 {alias}")
        return found[-1]

    def find(self, id: str) -> Release:  # noqa: A002 - it is the release's id
        """One release.

        Raises:
            NotFound: there is none with this id.
        """
        with self._database.read() as connection:
            return _only(rows.load(connection, releases.c.id == id), id)

    def list(
        self, name: str | None = None, *, running: bool = False, may_see: Callable[[str], bool] = lambda _: True
    ) -> Sequence[Release]:
        """Releases of one adapter, or of all, that may be seen, oldest first; the last SHOWN, or all those that run."""
        conditions = [releases.c.name == name] if name is not None else []
        conditions += [releases.c.state == RUNNING] if running else []
        with self._database.read() as connection:
            found = [release for release in rows.load(connection, *conditions) if may_see(release.name)]
        return found if running else found[-SHOWN:]

    def weigh(self, name: str, alias: str, weight: float, *, actor: str) -> Release:
        """Change the candidate's share of the requests.

        Raises:
            NotFound: no release of this alias is under way.
            InvalidInput: no share, or of a watch, where the candidate answers everything.
        """
        with self._database.write() as connection:
            release = _running(connection, name, alias)
            if release.plan.kind == WATCH:
                raise InvalidInput(f"{name}@{alias} has moved already; the candidate answers every request.")
            release = replace(release, plan=replace(release.plan, weight=weight))
            rows.change(connection, release)
            rows.tell(connection, release, "weight", actor)
            return release

    def stop(self, name: str, alias: str, *, actor: str, reason: str = "") -> Release:
        """End the release; the alias stays where it is.

        Raises:
            NotFound: no release of this alias is under way.
        """
        with self._database.write() as connection:
            release = _running(connection, name, alias)
            said = f"{actor} stopped it" + (f": {reason}" if reason else "")
            return conclude(connection, rows.ended(release, STOPPED, said), actor)

    def promote(self, name: str, alias: str, *, actor: str, reason: str = "", force: bool = False) -> Release:
        """End the release; the alias moves to the candidate, if it is not there already.

        Raises:
            NotFound: no release of this alias is under way.
            Refused: the alias is protected, the gate was not overruled, and the version has no passing report.
            InvalidInput: ``force`` without a reason.
        """
        if force and not reason:
            raise InvalidInput("A forced promotion needs a reason; it goes into the history.", "Add --reason WHY.")
        audited = recording_refusals(self._database, "release promote", name, actor=actor)
        with audited, self._database.write() as connection:
            release = _running(connection, name, alias)
            release = replace(release, forced=release.forced or force)
            prove_promotable(connection, version(connection, name, release.candidate), alias, forced=release.forced)
            said = f"{actor} promoted it" + (f": {reason}" if reason else "")
            return conclude(connection, rows.ended(release, PROMOTED, said), actor)

    def counts(self, id: str) -> Mapping[str, Tally]:  # noqa: A002 - it is the release's id
        """What every server has counted so far: ``current``, ``candidate`` and ``pairs``."""
        with self._database.read() as connection:
            return rows.counts(connection, id)

    def texts(self, id: str) -> Sequence[dict[str, Any]]:  # noqa: A002 - it is the release's id
        """The last pairs of answers that were kept, oldest first."""
        query = select(release_texts.c.document).where(release_texts.c.release == id).order_by(release_texts.c.id)
        with self._database.read() as connection:
            return [json.loads(document) for document in connection.scalars(query)]

    def report(
        self,
        id: str,  # noqa: A002 - it is the release's id
        counted: Mapping[str, Tally],
        *,
        texts: Sequence[Mapping[str, str]] = (),
        failure: str = "",
        batch: str = "",
    ) -> Release:
        """Add what a server has counted since its last report, and decide.

        Args:
            id: the release.
            counted: ``current``, ``candidate`` and ``pairs``, as far as there is anything.
            texts: pairs of answers to keep, if the release keeps any.
            failure: why the server can never serve the candidate; it ends the release.
            batch: id of ``counted`` and ``texts``, where they may be sent again; they are added once.

        Returns:
            The release after it; what is reported of one that has ended is dropped.

        Raises:
            NotFound: there is no such release.
            InvalidInput: ``counted`` has something else.
        """
        if unknown := counted.keys() - set(rows.ARMS):
            raise InvalidInput(f"Nothing is counted of {shown(min(unknown))}.", f"There are {', '.join(rows.ARMS)}.")
        with self._database.write() as connection:
            release = _only(rows.load(connection, releases.c.id == id), id)
            if not release.running:
                return release
            at = now()
            if is_new(connection, batch):
                rows.add_counts(connection, id, counted, at)
                if release.plan.keep_texts and texts:
                    _keep(connection, release, texts)
            over = judged(connection, release, failure, at)
            return conclude(connection, over, JUDGE) if over else release


def _only(found: Sequence[Release], id: str) -> Release:  # noqa: A002 - it is the release's id
    if not found:
        raise NotFound(f"There is no release {shown(id)}.", "registry releases")
    return found[0]


def _current(connection: Connection, candidate: AdapterVersion, alias: str) -> AdapterVersion:
    """The version that the alias names now, proven to be comparable with the candidate."""
    name = candidate.name
    if rows.running(connection, name, alias):
        raise Conflict(f"A release of {name}@{alias} is under way.", f"registry release show {name}@{alias}")
    query = select(aliases.c.number).where(aliases.c.name == name, aliases.c.alias == alias)
    number = connection.scalar(query)
    if number is None:
        raise NotFound(f"{name} has no alias {alias} yet, so there is nothing to compare with.",
                       f"registry promote {candidate} {alias}")  # fmt: skip
    if number == candidate.number:
        raise Conflict(f"{name}@{alias} is {candidate} already.", f"registry history {name}")
    current = version(connection, name, number)
    if current.manifest.base_fingerprint != candidate.manifest.base_fingerprint:
        raise InvalidInput(f"{candidate} is an adapter of another base than {current}; no server has both.")
    return current


def _running(connection: Connection, name: str, alias: str) -> Release:
    valid_name(name)
    valid_alias(alias)
    release = rows.running(connection, name, alias)
    if release is None:
        raise NotFound(f"No release of {name}@{alias} is under way.", "registry releases")
    return release


def _keep(connection: Connection, release: Release, texts: Sequence[Mapping[str, str]]) -> None:
    """Keep the last pairs of answers, each cut to MOST_CHARACTERS."""
    documents = [{name: text[:MOST_CHARACTERS] for name, text in pair.items()} for pair in texts]
    connection.execute(
        insert(release_texts), [{"release": release.id, "document": json.dumps(document)} for document in documents]
    )
    here = release_texts.c.release == release.id
    newest = select(release_texts.c.id).where(here).order_by(release_texts.c.id.desc()).limit(release.plan.keep_texts)
    kept = connection.scalars(newest).all()
    connection.execute(delete(release_texts).where(here, release_texts.c.id < min(kept)))
