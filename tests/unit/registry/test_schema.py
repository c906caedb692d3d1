"""The migrations and the tables say the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import registry.embedded.schema
from registry.embedded.database import Database
from registry.embedded.schema import BASE, HEAD, bring_up, every_table, migrate, revision
from registry.embedded.sqlite import open_sqlite


def _all_the_way(database: Database) -> None:
    migrate(database, HEAD)


def _down_and_up_again(database: Database) -> None:
    migrate(database, HEAD)
    migrate(database, BASE)
    bring_up(database)


@pytest.mark.parametrize("make", [bring_up, _all_the_way, _down_and_up_again])
def test_an_empty_database_gets_the_tables(tmp_path: Path, make: Callable[[Database], None]) -> None:
    database = open_sqlite(tmp_path / "registry.db")
    make(database)
    assert revision(database) == HEAD
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), every_table()) == []
    database.close()


def test_the_newest_migration_is_the_head() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(registry.embedded.schema.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD
