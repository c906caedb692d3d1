"""UsageBook: requests and tokens for each key, adapter version and day."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from registry.embedded.batches import is_new
from registry.embedded.database import Database
from registry.embedded.tables import keys
from registry.embedded.tables import usage as table
from registry.times import to_text
from registry.usage import Usage

PLACE = ("key", "adapter", "number", "day")
COUNTS = ("requests", "tokens_in", "tokens_out")


class UsageBook:
    """Accounts that only grow."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, amounts: Sequence[Usage], last_used: Mapping[str, datetime], batch: str = "") -> None:
        """Add amounts to what is there, all or nothing.

        Args:
            amounts: what was used since the last call.
            last_used: id of a key -> when it was used last.
            batch: id of all this, where it may be sent again; a batch that was added is not added again.
        """
        with self._database.write() as connection:
            if not is_new(connection, batch):
                return
            _add(connection, amounts)
            for id_, at in last_used.items():
                connection.execute(update(keys).where(keys.c.id == id_).values(last_used=to_text(at)))

    def list(
        self, *, keys: Collection[str] | None = None, adapter: str | None = None, since: date | None = None
    ) -> Sequence[Usage]:
        """What was used, by day, key, adapter and number.

        Args:
            keys: of these ids only.
            adapter: of this adapter, or base, only.
            since: from this day on.
        """
        query = select(table).order_by(table.c.day, table.c.key, table.c.adapter, table.c.number)
        if keys is not None:
            query = query.where(table.c.key.in_(keys))
        if adapter is not None:
            query = query.where(table.c.adapter == adapter)
        if since is not None:
            query = query.where(table.c.day >= since.isoformat())
        with self._database.read() as connection:
            rows = connection.execute(query).mappings().all()
        return [Usage(**{**row, "day": date.fromisoformat(row["day"])}) for row in rows]


def _add(connection: Connection, amounts: Sequence[Usage]) -> None:
    """Raise the rows that are there and make the others; another server that makes one meanwhile undoes all of it."""
    days = {amount.day.isoformat() for amount in amounts}
    query = select(table.c.key, table.c.adapter, table.c.number, table.c.day).where(table.c.day.in_(days))
    there = {tuple(row) for row in connection.execute(query)}
    known: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    for amount in amounts:
        row = amount.to_json()
        (known if tuple(row[name] for name in PLACE) in there else new).append(row)
    if new:
        connection.execute(insert(table), new)
    if known:
        bound: dict[str, Any] = {name: bindparam(f"of_{name}") for name in (*PLACE, *COUNTS)}
        raised = update(table).where(*(table.c[name] == bound[name] for name in PLACE))
        raised = raised.values({name: table.c[name] + bound[name] for name in COUNTS})
        connection.execute(raised, [{f"of_{name}": value for name, value in row.items()} for row in known])
