"""Event: something changed in the registry; written in the transaction that changed it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the outbox.

    Attributes:
        id: grows with each event.
        kind: ``version``, ``alias``, ``report``, ``artifact``, ``profile`` or ``key``.
        subject: the adapter's name, or the base's for a profile, or the key's.
        payload: what changed.
        created: UTC.
    """

    id: int
    kind: str
    subject: str
    payload: dict[str, Any]
    created: datetime
