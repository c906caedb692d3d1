"""Event: something changed in the registry; written in the transaction that changed it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from registry.errors import InvalidInput
from registry.refs import shown
from registry.times import from_text, to_text

KINDS = ("version", "alias", "report", "artifact", "signature", "profile", "key", "mark", "deletion", "release")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the outbox.

    Attributes:
        id: grows with each event; whoever reads sees no id before every smaller one.
        kind: one of KINDS.
        subject: the adapter's name, or the base's for a profile, or the key's.
        payload: what changed.
        created: UTC.
    """

    id: int
    kind: str
    subject: str
    payload: dict[str, Any]
    created: datetime

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints, servers send and webhooks carry as ``data``."""
        return asdict(self) | {"created": to_text(self.created)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Event":
        """Inverse of ``to_json``."""
        return cls(**document | {"created": from_text(document["created"])})


def valid_kinds(kinds: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds, each once.

    Raises:
        InvalidInput: an unknown one.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise InvalidInput(f"{shown(unknown[0])} is no kind of event.", f"There are {', '.join(KINDS)}.")
    return tuple(dict.fromkeys(kinds))
