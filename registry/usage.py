"""Usage: requests and tokens of one key, adapter version and day."""

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What one key used of one version on one day.

    Attributes:
        key: the key's id, or ``anonymous``.
        adapter: the adapter's name, or the base's.
        number: the version's; 0 for the base.
        day: UTC.
        requests: how many were answered, or computing when their client left.
        tokens_in: of prompts.
        tokens_out: of answers.
    """

    key: str
    adapter: str
    number: int
    day: date
    requests: int
    tokens_in: int
    tokens_out: int

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return asdict(self) | {"day": self.day.isoformat()}
