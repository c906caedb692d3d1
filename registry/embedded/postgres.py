"""PostgreSQL: the database of a registry that many machines share."""

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from registry.embedded.database import Database
from registry.errors import InvalidInput

LOCK = 0x61646170746F7279
"""Key of the advisory lock that a writer holds until its commit: the bytes of ``adaptory``."""

READ = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"

WRITE = f"""
SET LOCAL lock_timeout = '60s';
SET LOCAL idle_in_transaction_session_timeout = '120s';
SELECT pg_advisory_xact_lock({LOCK})
"""
"""Isolation stays READ COMMITTED: a statement after the lock sees what the writer before us committed, where REPEATABLE
READ would see the state from before the wait. A writer that froze loses its connection, and with it the lock."""

PAUSES = (0.1, 0.5, 2.0)
"""Seconds before each new attempt to begin, while the server is away or restarts."""

CONNECTION = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "application_name": "adaptory",
    "prepare_threshold": None,  # poolers that change servers between transactions know no prepared statements
}


def open_postgres(location: str) -> Database:
    """The database at ``postgresql://user:password@host/name``; what the URL leaves out comes from libpq's variables.

    Raises:
        InvalidInput: the URL cannot be read. It is not repeated, since it may hold a password.
    """
    try:
        url = make_url(location).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        raise InvalidInput(
            "ADAPTORY_REGISTRY is no URL of a PostgreSQL database.", "Write postgresql://user:password@host/database."
        ) from None
    return Database(_engine(url), _place(url), read=READ, write=WRITE, pauses=PAUSES, old_is_error=True)


def _place(url: URL) -> str:
    return f"{url.host or 'local'}/{url.database or url.username or ''}"


def _engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args=CONNECTION, pool_pre_ping=True, hide_parameters=True)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", READ))

    return engine
