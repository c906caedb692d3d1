"""Replicas, keys and usage of a registry behind a server: what running servers read and write."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from registry.api_key import ApiKey, Limits, NewKey
from registry.errors import NotFound
from registry.refs import shown
from registry.remote.connection import Connection
from registry.replica_status import ReplicaStatus
from registry.usage import Usage


class Replicas:
    """What servers say of themselves."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def put(self, status: ReplicaStatus) -> None:
        """Say what a server does now."""
        self._connection.ask(None, "PUT", "/replicas/{}", status.id, json=status)

    def beat(self, id: str) -> bool:  # noqa: A002 - it is the replica's id
        """Say that a server lives; False where its row is gone and has to be put again."""
        answer: dict[str, bool] = self._connection.ask(dict[str, bool], "POST", "/replicas/{}/beat", id)
        return answer["known"]

    def remove(self, id: str) -> None:  # noqa: A002 - it is the replica's id
        """A server has stopped."""
        self._connection.ask(None, "DELETE", "/replicas/{}", id)

    def list(self, base_fingerprint: str | None = None) -> Sequence[ReplicaStatus]:
        """Servers of one base, or all, oldest first."""
        params = {} if base_fingerprint is None else {"base": base_fingerprint}
        replicas: Sequence[ReplicaStatus] = self._connection.ask(
            Sequence[ReplicaStatus], "GET", "/replicas", params=params
        )
        return replicas


class Keys:
    """Who may ask; for a key with the scope ``admin``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        name: str,
        *,
        actor: str,  # noqa: ARG002 - the server takes it from the key
        scopes: Sequence[str] = ("infer",),
        adapters: Sequence[str] = (),
        limits: Limits | None = None,
        weight: float = 1.0,
        lifetime: timedelta | None = None,
    ) -> NewKey:
        """Make a key."""
        limits = limits or Limits()
        document = {"name": name, "scopes": scopes, "adapters": adapters, "weight": weight, "lifetime": lifetime}
        document |= {field: getattr(limits, field) for field in Limits.__slots__}
        made: NewKey = self._connection.ask(NewKey, "POST", "/keys", json=document)
        return made

    def list(self) -> Sequence[ApiKey]:
        """Every key, oldest first, those that no longer work too."""
        keys: Sequence[ApiKey] = self._connection.ask(Sequence[ApiKey], "GET", "/keys")
        return keys

    def find(self, id_or_name: str) -> Sequence[ApiKey]:
        """The key with this id, or else all that ever had this name."""
        every = self.list()
        found = [key for key in every if key.id == id_or_name] or [key for key in every if key.name == id_or_name]
        if not found:
            raise NotFound(f"No key is called {shown(id_or_name)}.", "registry key list")
        return found

    def revoke(self, id_or_name: str) -> Sequence[ApiKey]:
        """Stop a key for good."""
        revoked: Sequence[ApiKey] = self._connection.ask(
            Sequence[ApiKey], "POST", "/keys/revoke", json={"key": id_or_name}
        )
        return revoked


class UsageBook:
    """Accounts that only grow."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, amounts: Sequence[Usage], last_used: Mapping[str, datetime], batch: str = "") -> None:
        """Add amounts, and when keys were used last, all or nothing, and once for each id of a batch."""
        document = {"amounts": amounts, "last_used": last_used, "batch": batch}
        self._connection.ask(None, "POST", "/usage", json=document)

    def list(
        self, *, keys: Collection[str] | None = None, adapter: str | None = None, since: date | None = None
    ) -> Sequence[Usage]:
        """What was used, by day, key, adapter and number."""
        asked: dict[str, Any] = {"adapter": adapter, "since": since.isoformat() if since else None}
        document = {name: value for name, value in asked.items() if value is not None}
        if keys is not None:
            document["keys"] = sorted(keys)
        rows: Sequence[Usage] = self._connection.ask(Sequence[Usage], "POST", "/usage/query", json=document)
        return rows
