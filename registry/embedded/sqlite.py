"""SQLite: the database of a registry that is a folder."""

from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from registry.embedded.database import Database


def open_sqlite(file: Path) -> Database:
    """One file in WAL mode; ``BEGIN IMMEDIATE`` lets one writer write at a time, the others wait up to 60 s."""
    return Database(_engine(file), str(file), read="BEGIN", write="BEGIN IMMEDIATE", old_is_error=False)


def _engine(file: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(file)), connect_args={"timeout": 60})

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # pysqlite would begin too late: we say BEGIN ourselves
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # a version that was announced survives a power cut
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine
