"""Signature: somebody's word, by key, that a version is what they meant to ship."""

import hashlib
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from registry.times import from_text, to_text

SIGNATURE_FILE = "model.sig"
"""Where a pulled folder has its signature: what ``model_signing`` looks for."""


def key_id(public_key: str) -> str:
    """What bundles call a key: SHA-256, hex, of the public key's PEM text (``PublicKeyIdentifier.hint``)."""
    return hashlib.sha256(public_key.encode("utf-8")).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature, child of the version that it speaks of.

    Attributes:
        version_digest: of that version; it is signed together with the files, as the subject's name.
        public_key: PEM, as ``registry.signing.keys.public_pem`` writes it.
        bundle: a Sigstore bundle with a DSSE envelope, the JSON that ``model_signing`` reads and writes.
        actor: who brought it.
        created: when, UTC; None before it is kept.
    """

    version_digest: str
    public_key: str
    bundle: str
    actor: str = ""
    created: datetime | None = None

    @property
    def key(self) -> str:
        """Id of the key that signed."""
        return key_id(self.public_key)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Signature":
        """Inverse of ``to_json``."""
        fields = {name: value for name, value in document.items() if name != "key"}
        return cls(**fields | {"created": from_text(document["created"]) if document["created"] else None})

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints and servers exchange."""
        return asdict(self) | {"key": self.key, "created": to_text(self.created) if self.created else None}
