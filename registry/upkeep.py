"""Rooms of upkeep: marks, deletions, retention rules and garbage collection, as ``registry.rooms`` is of the rest."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Protocol

from registry.collected import Collected
from registry.deletion import GRACE, Deletion
from registry.deprecation import Deprecation
from registry.refs import AdapterRef
from registry.retention import RetentionRule
from registry.version import AdapterVersion


class Marks(Protocol):
    """What people say of versions; nothing that is served depends on it."""

    def deprecate(self, ref: AdapterRef | str, *, actor: str, reason: str) -> Deprecation:
        """Say that a version should no longer be used; NotFound, InvalidInput."""

    def undo(self, ref: AdapterRef | str, *, actor: str) -> AdapterVersion:
        """Take a deprecation back; NotFound."""

    def deprecations(self, name: str | None = None) -> Sequence[Deprecation]:
        """Deprecations by name and number, of one adapter or of all."""

    def tag(
        self, ref: AdapterRef | str, add: Mapping[str, str], remove: Iterable[str] = (), *, actor: str
    ) -> Mapping[str, str]:
        """Set tags of a version, take others away, and return what it has then; NotFound, InvalidInput."""

    def tags(self, name: str | None = None) -> Mapping[tuple[str, int], Mapping[str, str]]:
        """(Name, number) of each version that has tags -> its tags; of one adapter or of all."""


class Deletions(Protocol):
    """Versions on their way out, and the tombstones of those that are gone."""

    def mark(self, ref: AdapterRef | str, *, actor: str, reason: str = "", grace: timedelta = GRACE) -> Deletion:
        """Mark a version for deletion; NotFound, Refused where something names it, InvalidInput."""

    def restore(self, ref: AdapterRef | str, *, actor: str) -> AdapterVersion:
        """Undo a deletion that was not collected yet; InvalidInput, NotFound, Conflict."""

    def list(self, name: str | None = None) -> Sequence[Deletion]:
        """Marked versions and tombstones, by name and number, of one adapter or of all."""


class Retention(Protocol):
    """Rules that say which versions are kept; garbage collection carries them out."""

    def set(self, pattern: str, *, keep_last: int, keep_aliased: bool, actor: str) -> RetentionRule:
        """Make the rule of a name or pattern; InvalidInput."""

    def remove(self, pattern: str, *, actor: str) -> None:
        """Take a rule back; NotFound."""

    def list(self) -> Sequence[RetentionRule]:
        """Every rule, by pattern."""


class Collection(Protocol):
    """Garbage collection."""

    def run(self, *, actor: str, dry_run: bool = False) -> Collected:
        """Apply retention rules, carry out deletions that are due, remove content that nothing names."""
