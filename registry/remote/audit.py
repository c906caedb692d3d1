"""The audit of a registry behind a server."""

from collections.abc import Sequence
from datetime import datetime

from registry.audit_entry import AuditEntry
from registry.remote.connection import Connection
from registry.times import to_text


class Audit:
    """Who did what; fills ``registry.rooms.Audit``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(
        self,
        subject: str | None = None,
        *,
        actor: str | None = None,
        since: datetime | None = None,
        limit: int = 200,
    ) -> Sequence[AuditEntry]:
        """The newest entries, oldest first."""
        asked = {"subject": subject, "actor": actor, "since": to_text(since) if since else None, "limit": limit}
        params = {name: value for name, value in asked.items() if value is not None}
        entries: Sequence[AuditEntry] = self._connection.ask(Sequence[AuditEntry], "GET", "/audit", params=params)
        return entries
