"""Collected: what one run of garbage collection took, or would take."""

from dataclasses import dataclass
from typing import Any

from registry.deletion import Deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What went.

    Attributes:
        marked: versions that retention rules marked for deletion; they stay until their grace is over.
        removed: deletions whose grace was over.
        kept: deletions whose grace was over, but whose version something names again -> why.
        blobs: how many blobs that nothing names were removed.
        size: their bytes.
    """

    marked: tuple[Deletion, ...]
    removed: tuple[Deletion, ...]
    kept: tuple[tuple[Deletion, str], ...]
    blobs: int
    size: int

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Collected":
        """Inverse of ``to_json``."""
        return cls(
            marked=tuple(Deletion.from_json(one) for one in document["marked"]),
            removed=tuple(Deletion.from_json(one) for one in document["removed"]),
            kept=tuple((Deletion.from_json(one["deletion"]), one["reason"]) for one in document["kept"]),
            blobs=document["blobs"],
            size=document["size"],
        )

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return {
            "marked": [one.to_json() for one in self.marked],
            "removed": [one.to_json() for one in self.removed],
            "kept": [{"deletion": one.to_json(), "reason": reason} for one, reason in self.kept],
            "blobs": self.blobs,
            "size": self.size,
        }
