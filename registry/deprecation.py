"""Deprecation: a mark that says that a version should no longer be used, and why; it can still be served."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from registry.times import from_text, to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Deprecation:
    """Who said that a version should no longer be used.

    Attributes:
        name: the adapter's name.
        number: the version.
        actor: who marked it.
        reason: why, in their words.
        marked: when, UTC.
    """

    name: str
    number: int
    actor: str
    reason: str
    marked: datetime

    def __str__(self) -> str:
        return f"{self.name}:{self.number}"

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Deprecation":
        """Inverse of ``to_json``."""
        return cls(**document | {"marked": from_text(document["marked"])})

    def to_json(self) -> dict[str, Any]:
        """The form that is stored and shown."""
        return asdict(self) | {"marked": to_text(self.marked)}
