"""SigningPolicy: whose signature a version needs before it may have a name."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from registry.signature import key_id
from registry.times import from_text, to_text


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningPolicy:
    """One key that may sign for the adapters of one pattern; several with the same pattern are alternatives.

    Attributes:
        pattern: an adapter's name, in which ``*`` stands for anything.
        public_key: PEM.
        actor: who made the policy.
        created: when, UTC.
    """

    pattern: str
    public_key: str
    actor: str
    created: datetime

    @property
    def key(self) -> str:
        """Id of the key."""
        return key_id(self.public_key)

    def fits(self, name: str) -> bool:
        """Whether it speaks of the adapter of this name."""
        return fnmatchcase(name, self.pattern)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "SigningPolicy":
        """Inverse of ``to_json``."""
        fields = {name: value for name, value in document.items() if name != "key"}
        return cls(**fields | {"created": from_text(document["created"])})

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints and servers exchange."""
        return asdict(self) | {"key": self.key, "created": to_text(self.created)}


def unmet(policies: Iterable[SigningPolicy], name: str, keys: Iterable[str]) -> str | None:
    """The first pattern that fits ``name`` and of whose keys none is among ``keys``; None where all is signed.

    Each pattern asks for itself, so that a policy more never weakens the others.
    """
    allowed: dict[str, set[str]] = {}
    for policy in policies:
        if policy.fits(name):
            allowed.setdefault(policy.pattern, set()).add(policy.key)
    signed = set(keys)
    return next((pattern for pattern in sorted(allowed) if not allowed[pattern] & signed), None)
