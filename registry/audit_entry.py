"""AuditEntry: who did what, when, and what came of it."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from registry.times import to_text

DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change, or one that was refused.

    Attributes:
        id: grows with each entry.
        at: UTC.
        actor: who did it, as they call themselves or as their key is called; empty where nobody said.
        key: id of the API key, or an empty string where none was needed.
        action: ``push``, ``promote``, ``rollback``, ``report``, ...
        subject: what it was done to: an adapter's name, a base's, a key's, or a webhook's URL.
        detail: the rest, such as the version's number.
        result: ``done``, or ``refused: `` and why.
    """

    id: int
    at: datetime
    actor: str
    key: str
    action: str
    subject: str
    detail: dict[str, Any]
    result: str

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return asdict(self) | {"at": to_text(self.at)}
