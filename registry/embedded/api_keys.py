"""Keys: make, list and revoke API keys."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update

from registry.api_key import ApiKey, Limits, NewKey, hash_token, new_token, valid_key_name, valid_patterns, valid_scopes
from registry.embedded.database import Database
from registry.embedded.events import announce
from registry.embedded.tables import keys
from registry.errors import Conflict, InvalidInput, NotFound
from registry.refs import shown
from registry.times import now, to_text


class Keys:
    """Every key that was ever made; none is deleted, so that accounts keep their names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        name: str,
        *,
        actor: str,
        scopes: Sequence[str] = ("infer",),
        adapters: Sequence[str] = (),
        limits: Limits | None = None,
        weight: float = 1.0,
        lifetime: timedelta | None = None,
    ) -> NewKey:
        """Make a key; what is returned holds the only copy of its token.

        Raises:
            InvalidInput: a name, scope or pattern that cannot be, or patterns for an admin.
            Conflict: a key of this name works already.
        """
        created = now()
        if "admin" in scopes and adapters:
            raise InvalidInput(
                "A key with the scope admin can make others, so it is for every adapter.", "Leave out --adapter."
            )
        id_, token = new_token()
        key = ApiKey(
            id=id_,
            name=valid_key_name(name),
            hash=hash_token(token.encode()),
            scopes=valid_scopes(scopes),
            adapters=valid_patterns(adapters),
            limits=limits or Limits(),
            weight=weight,
            created=created,
            actor=actor,
            expires=created + lifetime if lifetime else None,
        )
        with self._database.write() as connection:
            if any(other.usable(created) for other in _read(connection) if other.name == name):
                raise Conflict(f"There is a key {name} already.", f"registry key revoke {name}, or take another name.")
            connection.execute(insert(keys).values(_row(key)))
            announce(connection, "key", key.name, {"id": key.id}, action="key create", actor=actor)
        return NewKey(key, token)

    def list(self) -> Sequence[ApiKey]:
        """Every key, oldest first, those that no longer work too."""
        with self._database.read() as connection:
            return _read(connection)

    def get(self, id: str) -> ApiKey | None:  # noqa: A002 - it is the key's id
        """The key with this id, also one that no longer works, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(keys).where(keys.c.id == id)).one_or_none()
        return _key(row) if row else None

    def find(self, id_or_name: str) -> Sequence[ApiKey]:
        """The key with this id, or else all that ever had this name.

        Raises:
            NotFound: there is none.
        """
        every = self.list()
        found = [key for key in every if key.id == id_or_name] or [key for key in every if key.name == id_or_name]
        if not found:
            raise NotFound(f"No key is called {shown(id_or_name)}.", "registry key list")
        return found

    def revoke(self, id_or_name: str) -> Sequence[ApiKey]:
        """Stop a key for good, by its id or by its name; servers hear of it within a second.

        Raises:
            NotFound: there is none.
            Conflict: it was revoked before.
        """
        found = [key for key in self.find(id_or_name) if key.revoked is None]
        if not found:
            raise Conflict(f"The key {shown(id_or_name)} was revoked before.")
        ids = [key.id for key in found]
        with self._database.write() as connection:
            live = keys.c.id.in_(ids) & keys.c.revoked.is_(None)
            connection.execute(update(keys).where(live).values(revoked=to_text(now())))
            for key in found:
                announce(connection, "key", key.name, {"id": key.id}, action="key revoke")
        return [key for key in self.list() if key.id in ids]


def _read(connection: Connection) -> list[ApiKey]:
    return [_key(row) for row in connection.execute(select(keys).order_by(keys.c.created, keys.c.id))]


def _row(key: ApiKey) -> dict[str, Any]:
    row = key.to_json() | {"hash": key.hash}
    return row | {"scopes": json.dumps(key.scopes), "adapters": json.dumps(key.adapters)}


def _key(row: Any) -> ApiKey:
    document = dict(row._mapping)
    return ApiKey.from_json(document | {name: json.loads(document[name]) for name in ("scopes", "adapters")})
