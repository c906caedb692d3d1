"""Moving: an alias goes to a version, or something is said of it, with an entry in the adapter's hash chain."""

from sqlalchemy import Connection, delete, insert, select, update

from registry.alias import Alias, Move
from registry.embedded.events import announce
from registry.embedded.release_rows import change, ended, running, tell
from registry.embedded.tables import adapters, aliases, moves
from registry.release import PROMOTED, STOPPED
from registry.times import now, to_text
from registry.version import AdapterVersion


def move_alias(
    connection: Connection, version: AdapterVersion, alias: str, *, kind: str, actor: str, reason: str, forced: bool
) -> Alias:
    """Let the alias name the version; a release that was under way for it is over."""
    release = running(connection, version.name, alias)
    entry = remark(connection, version, alias, kind=kind, actor=actor, reason=reason, forced=forced)
    connection.execute(delete(aliases).where(aliases.c.name == version.name, aliases.c.alias == alias))
    moved = to_text(entry.moved)
    connection.execute(insert(aliases).values(name=version.name, alias=alias, number=version.number, moved=moved))
    payload = {"alias": alias, "number": version.number, "digest": version.digest}
    if release:
        state = PROMOTED if version.number == release.candidate else STOPPED
        release = ended(release, state, f"{actor} moved {release.name}@{alias} to {version}.")
        change(connection, release)
    announce(connection, "alias", version.name, payload, action=kind, actor=actor)
    if release:
        tell(connection, release, "end", actor)
    return Alias(name=version.name, alias=alias, number=version.number, digest=version.digest, moved=entry.moved)


def remark(
    connection: Connection, version: AdapterVersion, alias: str, *, kind: str, actor: str, reason: str, forced: bool
) -> Move:
    """Write the entry alone: for a version that the alias names already, it says that something was decided."""
    chain = connection.execute(select(adapters).where(adapters.c.name == version.name)).one()
    here = (aliases.c.name == version.name) & (aliases.c.alias == alias)
    entry = Move(
        name=version.name,
        sequence=chain.moves + 1,
        alias=alias,
        kind=kind,
        previous=connection.scalar(select(aliases.c.number).where(here)),
        number=version.number,
        digest=version.digest,
        actor=actor,
        reason=reason,
        forced=forced,
        moved=now(),
        parent=chain.last_move,
    )
    connection.execute(insert(moves).values(**entry.fields(), hash=entry.hash))
    connection.execute(
        update(adapters).where(adapters.c.name == version.name).values(moves=entry.sequence, last_move=entry.hash)
    )
    return entry
