"""ReplicaStatus: what one running server says of itself, and of each alias that it answers for."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from registry.times import from_text, to_text

SERVING, PREPARING, FAILED = "serving", "preparing", "failed"
"""States of an alias at a replica: as the registry says, on the way there, and not to be had there."""

SILENT_AFTER = timedelta(seconds=15)
"""A replica that has not been heard of for so long is taken for dead: seven heartbeats of two seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AliasStatus:
    """What a replica does with one alias.

    Attributes:
        name: the adapter's name.
        alias: ``prod``, ``canary``, ...
        moved: which of the alias's moves the replica speaks of, by its time in the registry.
        number: version that answers there now.
        digest: that version's digest.
        state: ``serving``, ``preparing`` or ``failed``.
        failure: why it does not answer with the version that it should, or an empty string.
    """

    name: str
    alias: str
    moved: datetime
    number: int
    digest: str
    state: str
    failure: str = ""

    def to_json(self) -> dict[str, Any]:
        """The form that is stored and shown."""
        return asdict(self) | {"moved": to_text(self.moved)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "AliasStatus":
        """Inverse of ``to_json``."""
        return cls(**document | {"moved": from_text(document["moved"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStatus:
    """A server as the registry knows it.

    Attributes:
        id: new for each start of a server.
        host: machine that it runs on.
        pid: its process there.
        url: where it answers, as its machine sees it.
        base_name: base that it serves.
        base_fingerprint: that base's fingerprint.
        profile: fingerprint of its serving profile.
        started: UTC.
        heartbeat: when it was last heard of, UTC.
        aliases: what it answers for, by name and alias.
        engines: how many it has.
        engines_ready: how many of these answer now.
    """

    id: str
    host: str
    pid: int
    url: str
    base_name: str
    base_fingerprint: str
    profile: str
    started: datetime
    heartbeat: datetime
    aliases: tuple[AliasStatus, ...] = ()
    engines: int = 1
    engines_ready: int = 1

    def __str__(self) -> str:
        return f"{self.url} (process {self.pid} on {self.host})"

    def silent(self, at: datetime) -> bool:
        """Whether it has to be taken for dead."""
        return at - self.heartbeat > SILENT_AFTER

    def alias(self, name: str, alias: str) -> AliasStatus | None:
        """What it says of one alias, or None where it has not heard of it."""
        return next((entry for entry in self.aliases if (entry.name, entry.alias) == (name, alias)), None)

    def to_json(self) -> dict[str, Any]:
        """The form that is stored and shown."""
        fields = {key: getattr(self, key) for key in self.__slots__}
        times = {"started": to_text(self.started), "heartbeat": to_text(self.heartbeat)}
        return fields | times | {"aliases": [entry.to_json() for entry in self.aliases]}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "ReplicaStatus":
        """Inverse of ``to_json``."""
        times = {key: from_text(document[key]) for key in ("started", "heartbeat")}
        aliases = tuple(AliasStatus.from_json(entry) for entry in document["aliases"])
        return cls(**document | times | {"aliases": aliases})
