"""Deletion: a version that is marked for deletion, and later the tombstone that stays in its place."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from registry.times import from_text, to_text

GRACE = timedelta(days=7)
"""How long a deletion can be undone before ``registry gc`` carries it out."""

MAX_GRACE = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deletion:
    """A version that nobody can name any more.

    Attributes:
        name: the adapter's name.
        number: the version; its number is never used again.
        digest: the version's digest.
        actor: who deleted it.
        reason: why, in their words.
        marked: when, UTC.
        due: from when on ``registry gc`` removes it, UTC.
        removed: when it was removed, UTC; None while it can be restored.
    """

    name: str
    number: int
    digest: str
    actor: str
    reason: str
    marked: datetime
    due: datetime
    removed: datetime | None = None

    def __str__(self) -> str:
        return f"{self.name}:{self.number}"

    @property
    def told(self) -> str:
        """One sentence for whoever asks for the version."""
        why = f" ({self.reason})" if self.reason else ""
        if self.removed:
            return f"{self} was deleted by {self.actor} on {self.removed:%Y-%m-%d}{why}."
        return f"{self} is marked for deletion by {self.actor} and goes on {self.due:%Y-%m-%d %H:%M} UTC{why}."

    @property
    def hint(self) -> str:
        """What to type next."""
        return f"registry list {self.name}" if self.removed else f"registry restore {self}"

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Deletion":
        """Inverse of ``to_json``."""
        times = {key: from_text(document[key]) for key in ("marked", "due")}
        removed = from_text(document["removed"]) if document["removed"] else None
        return cls(**document | times | {"removed": removed})

    def to_json(self) -> dict[str, Any]:
        """The form that is stored and shown."""
        times = {"marked": to_text(self.marked), "due": to_text(self.due)}
        return asdict(self) | times | {"removed": to_text(self.removed) if self.removed else None}
