"""Database: short transactions; ``sqlite.py`` and ``postgres.py`` say how their engine begins one."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from registry.errors import InvalidInput, Unavailable


class Database:
    """An engine that lets one writer write at a time, and readers see one state (decision 11).

    Attributes:
        engine: SQLAlchemy's.
        place: what errors call it; holds no password.
    """

    def __init__(
        self, engine: Engine, place: str, *, read: str, write: str, pauses: Sequence[float] = (), old_is_error: bool
    ) -> None:
        """Wrap an engine.

        Args:
            engine: whose event ``begin`` runs the statement in the execution option ``begin``.
            place: as above.
            read: begins a transaction that sees one state.
            write: begins a transaction that is alone with its writes.
            pauses: seconds to wait before each new attempt to begin, where the connection was lost.
            old_is_error: an older schema is not migrated by whoever opens it; a person has to say so.
        """
        self.engine = engine
        self.place = place
        self.old_is_error = old_is_error
        self._read, self._write, self._pauses = read, write, pauses

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the registry and changes nothing."""
        with self._transaction(self._read) as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is alone with its writes; an error inside undoes all of it."""
        with self._transaction(self._write) as connection:
            yield connection

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Connection]:
        try:
            with self._begun(begin) as connection, connection.get_transaction() or connection.begin():
                yield connection
        except DataError as error:
            raise InvalidInput(f"The registry's database {self.place} refuses a value: {_reason(error)}.") from error
        except UnicodeEncodeError as error:
            raise InvalidInput("The registry keeps text in UTF-8 only, and was given something else.") from error
        except PoolTimeout as error:
            raise Unavailable(f"Too many ask the registry's database {self.place} at once.", "Try again.") from error
        except DBAPIError as error:
            raise Unavailable(f"The registry's database {self.place} does not answer: {_reason(error)}.") from error

    def _begun(self, begin: str) -> Connection:
        """A connection whose transaction has begun; nothing was done in it, so a lost one can be tried again."""
        for pause in (*self._pauses, None):
            connection = None
            try:
                connection = self.engine.execution_options(begin=begin).connect()
                connection.begin()
            except DBAPIError as error:
                if connection is not None:
                    connection.close()
                if pause is None or not _is_lost(error):
                    raise
                time.sleep(pause)
            else:
                return connection
        raise AssertionError("the last attempt returns or raises")


def _is_lost(error: DBAPIError) -> bool:
    """Whether the connection was lost or not made: the server starts, stops or is away (SQLSTATE 08 and 57P)."""
    state = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or state is None or state.startswith(("08", "57P"))


def _reason(error: DBAPIError) -> str:
    """Why, in one line and without what the driver tells of the connection (host, port and user)."""
    if error.orig is None or not hasattr(error.orig, "diag"):
        return str(error.orig)  # SQLite's, which are short
    if "authentication failed" in str(error.orig):
        return "it refuses the user name or the password"
    told: str | None = error.orig.diag.message_primary
    return told or "there is no connection to it"
