"""Schema: which tables a database has, and bringing it to those that this program knows."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, MetaData, inspect, text

from registry.embedded.database import Database
from registry.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0008"
"""The newest migration. A test compares it with ``registry/embedded/migrations``."""

BASE = "base"
"""What an empty database has."""


def bring_up(database: Database) -> None:
    """Make an empty database a registry, and an older SQLite file a present one.

    Raises:
        Refused: the schema is newer than this program, or it is older and other programs share the database.
    """
    found = revision(database)
    if found == HEAD:
        return
    if found > HEAD and found != BASE:
        raise Refused(
            f"The registry's database {database.place} has the schema {found}; this Adaptory knows up to {HEAD}.",
            "Install the newer Adaptory, or let it run: registry migrate --down.",
        )
    if found != BASE and database.old_is_error:
        raise Refused(
            f"The registry's database {database.place} has the schema {found}; this Adaptory needs {HEAD}.",
            "registry migrate",
        )
    if found == BASE:
        _create(database)
    else:
        migrate(database, HEAD)


def _create(database: Database) -> None:
    """Make every table of an empty database at once; a test holds that the migrations make the same."""
    with database.write() as connection:
        if _revision(connection) == BASE:  # else another program was faster
            every_table().create_all(connection)
            mark = "create table if not exists alembic_version (version_num varchar(32) not null primary key)"
            connection.execute(text(mark))
            connection.execute(text("insert into alembic_version values (:head)"), {"head": HEAD})


def every_table() -> MetaData:
    """The tables, those of the signatures too."""
    from registry.embedded.signature_tables import signatures  # with them the metadata has them all

    return signatures.metadata


def revision(database: Database) -> str:
    """The schema that the database has, ``base`` where it has none."""
    with database.read() as connection:
        return _revision(connection)


def known_revisions() -> list[str]:
    """Every schema that this program can make, oldest first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config())
    return [BASE, *sorted(script.revision for script in scripts.walk_revisions())]


def migrate(database: Database, to: str) -> tuple[str, str]:
    """Bring the schema up or down to a revision in one transaction: a kill leaves the old schema or the new one.

    Returns:
        The revisions before and after.

    Raises:
        InvalidInput: there is no such revision.
        Refused: the database's own revision is unknown to this program.
    """
    from alembic import command

    known = known_revisions()
    if to not in known:
        raise InvalidInput(f"There is no schema {to}; known are {', '.join(known)}.")
    config = _config()
    with database.write() as connection:
        before = _revision(connection)
        if before not in known:
            raise Refused(f"This Adaptory does not know the schema {before} of {database.place}.", "Install the newer.")
        config.attributes["connection"] = connection
        move = command.upgrade if known.index(to) > known.index(before) else command.downgrade
        if to != before:
            move(config, to)
    return before, to


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return BASE
    return connection.scalar(text("select version_num from alembic_version")) or BASE


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
