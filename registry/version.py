"""AdapterVersion: one immutable version of a named adapter; Push: what became of one that was sent."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from registry.files import valid_digest
from registry.manifest import Manifest
from registry.times import from_text, to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterVersion:
    """A version as the registry keeps it.

    Attributes:
        name: the adapter's name.
        number: 1, 2, 3, ... without gaps.
        digest: ``sha256:<hex>`` of the manifest.
        manifest: content and provenance.
        created: when it became visible, UTC.
        actor: who pushed it.
        note: what they said of it.
    """

    name: str
    number: int
    digest: str
    manifest: Manifest
    created: datetime
    actor: str
    note: str = ""

    def __post_init__(self) -> None:
        """Prove that the digest, which becomes a name on disks, is one.

        Raises:
            InvalidInput: it is not.
        """
        valid_digest(self.digest)

    def __str__(self) -> str:
        return f"{self.name}:{self.number}"

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "AdapterVersion":
        """Read ``to_json`` together with ``manifest``."""
        return cls(
            name=document["name"],
            number=document["version"],
            digest=document["digest"],
            manifest=Manifest.from_json(document["manifest"]),
            created=from_text(document["created"]),
            actor=document["actor"],
            note=document["note"],
        )

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints; the manifest is left to ``registry show``."""
        return {
            "name": self.name,
            "version": self.number,
            "digest": self.digest,
            "created": to_text(self.created),
            "actor": self.actor,
            "note": self.note,
            "base": self.manifest.base_name,
            "rank": self.manifest.lora.rank,
            "size": self.manifest.size,
        }


@dataclass(frozen=True, slots=True)
class Push:
    """What a push did.

    Attributes:
        version: the version that holds the content now.
        created: False where the same content was there already.
    """

    version: AdapterVersion
    created: bool
