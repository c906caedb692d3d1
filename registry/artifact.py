"""Artifact: an exported form of a version, kept as its child."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from registry.files import FileEntry
from registry.finite import prove_finite
from registry.times import from_text, to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A merged or converted form.

    Attributes:
        version_digest: the parent.
        form: ``gguf`` or ``merged-16bit``.
        quant: ``q4_k_m``, ``q8_0``, ...; ``bf16`` for merged weights.
        files: what it consists of.
        recipe: how to build it again: merge base, tool versions.
        drift: how far it is from the version as served, as measured.
        created: UTC; None before it is stored.
    """

    version_digest: str
    form: str
    quant: str
    files: tuple[FileEntry, ...]
    recipe: dict[str, Any]
    drift: dict[str, float] = field(default_factory=dict)
    created: datetime | None = None

    def __post_init__(self) -> None:
        prove_finite("A drift", *self.drift.values())

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Artifact":
        """Inverse of ``to_json``; paths are proved to stay inside their folder."""
        return cls(
            version_digest=document["version_digest"],
            form=document["form"],
            quant=document["quant"],
            files=tuple(FileEntry.from_json(entry) for entry in document["files"]),
            recipe=document["recipe"],
            drift=document["drift"],
            created=from_text(document["created"]) if document["created"] else None,
        )

    def to_json(self) -> dict[str, Any]:
        """The form that ``--json`` prints."""
        return {
            "version_digest": self.version_digest,
            "form": self.form,
            "quant": self.quant,
            "files": [entry.to_json() for entry in self.files],
            "size": self.size,
            "recipe": self.recipe,
            "drift": self.drift,
            "created": to_text(self.created) if self.created else None,
        }
