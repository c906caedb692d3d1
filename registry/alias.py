"""Alias: a movable name for a version, and the history of its moves."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from registry.canonical import digest_document
from registry.times import to_text

UNSET = "unset"
"""Stands for the tag of an alias that names nothing yet."""

RELEASE, HALT, REJECT = "release", "stop", "reject"
REMARKS = frozenset({RELEASE, HALT, REJECT})
"""Entries of an alias's history that move nothing: a release began, was stopped, or lost its candidate to the judge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias:
    """Where an alias points now.

    Attributes:
        name: the adapter's name.
        alias: ``prod``, ``canary``, ...
        number: version it points to.
        digest: that version's digest.
        moved: when it was moved there, UTC.
    """

    name: str
    alias: str
    number: int
    digest: str
    moved: datetime

    def __str__(self) -> str:
        return f"{self.name}@{self.alias}"

    @property
    def tag(self) -> str:
        """Another one after every move, also after one that leads back: what a move may be made conditional on."""
        return digest_document(self.to_json()).removeprefix("sha256:")[:32]

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return asdict(self) | {"moved": to_text(self.moved)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One entry of an alias's history; entries of one adapter form a hash chain.

    Attributes:
        name: the adapter's name.
        sequence: 1, 2, 3, ... within the adapter.
        alias: which alias moved.
        kind: ``promote`` or ``rollback``, or one of REMARKS, where the alias stayed.
        previous: version before, or None.
        number: version after.
        digest: that version's digest.
        actor: who moved it.
        reason: why, in their words.
        forced: whether the gate was overruled.
        moved: when, UTC.
        parent: hash of the entry before, or ``""``.
    """

    name: str
    sequence: int
    alias: str
    kind: str
    previous: int | None
    number: int
    digest: str
    actor: str
    reason: str
    forced: bool
    moved: datetime
    parent: str

    @property
    def hash(self) -> str:
        """``sha256:<hex>`` over every field, the parent's hash included."""
        return digest_document(self.fields())

    def fields(self) -> dict[str, Any]:
        """Every field, in the form that is hashed."""
        return asdict(self) | {"moved": to_text(self.moved)}

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return self.fields() | {"hash": self.hash}
