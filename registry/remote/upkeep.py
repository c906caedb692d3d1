"""Marks, deletions, retention rules and garbage collection of a registry behind a server."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from registry.collected import Collected
from registry.deletion import GRACE, Deletion
from registry.deprecation import Deprecation
from registry.refs import AdapterRef
from registry.remote.connection import MOVING, Connection
from registry.retention import RetentionRule
from registry.version import AdapterVersion


@dataclass(frozen=True, slots=True)
class _Tags:
    name: str
    number: int
    tags: dict[str, str]


class Marks:
    """Deprecations and tags; who makes them is the key's name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def deprecate(self, ref: AdapterRef | str, *, actor: str, reason: str) -> Deprecation:  # noqa: ARG002 - the key's
        """Say that a version should no longer be used."""
        made: Deprecation = self._connection.ask(
            Deprecation, "PUT", "/deprecations/{}", _text(ref), json={"reason": reason}
        )
        return made

    def undo(self, ref: AdapterRef | str, *, actor: str) -> AdapterVersion:  # noqa: ARG002 - the key's
        """Take a deprecation back."""
        version: AdapterVersion = self._connection.ask(AdapterVersion, "DELETE", "/deprecations/{}", _text(ref))
        return version

    def deprecations(self, name: str | None = None) -> Sequence[Deprecation]:
        """Deprecations by name and number, of one adapter or of all."""
        marks: Sequence[Deprecation] = self._connection.ask(
            Sequence[Deprecation], "GET", "/deprecations", params=_of(name)
        )
        return marks

    def tag(
        self,
        ref: AdapterRef | str,
        add: Mapping[str, str],
        remove: Iterable[str] = (),
        *,
        actor: str,  # noqa: ARG002 - the key's
    ) -> Mapping[str, str]:
        """Set tags of a version, take others away, and return what it has then."""
        change = {"add": dict(add), "remove": list(remove)}
        tags: Mapping[str, str] = self._connection.ask(dict[str, str], "PATCH", "/tags/{}", _text(ref), json=change)
        return tags

    def tags(self, name: str | None = None) -> Mapping[tuple[str, int], Mapping[str, str]]:
        """(Name, number) of each version that has tags -> its tags; of one adapter or of all."""
        found: list[_Tags] = self._connection.ask(list[_Tags], "GET", "/tags", params=_of(name))
        return {(one.name, one.number): one.tags for one in found}


class Deletions:
    """Versions on their way out; for a key with the scope ``admin``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def mark(
        self,
        ref: AdapterRef | str,
        *,
        actor: str,  # noqa: ARG002 - the key's
        reason: str = "",
        grace: timedelta = GRACE,
    ) -> Deletion:
        """Mark a version for deletion."""
        why = {"reason": reason, "grace": grace}
        deletion: Deletion = self._connection.ask(Deletion, "PUT", "/deletions/{}", _text(ref), json=why)
        return deletion

    def restore(self, ref: AdapterRef | str, *, actor: str) -> AdapterVersion:  # noqa: ARG002 - the key's
        """Undo a deletion that was not collected yet."""
        version: AdapterVersion = self._connection.ask(AdapterVersion, "DELETE", "/deletions/{}", _text(ref))
        return version

    def list(self, name: str | None = None) -> Sequence[Deletion]:
        """Marked versions and tombstones, by name and number, of one adapter or of all."""
        deletions: Sequence[Deletion] = self._connection.ask(Sequence[Deletion], "GET", "/deletions", params=_of(name))
        return deletions


class Retention:
    """Rules that say which versions are kept; for a key with the scope ``admin``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def set(self, pattern: str, *, keep_last: int, keep_aliased: bool, actor: str) -> RetentionRule:  # noqa: ARG002 - the key's
        """Make the rule of a name or pattern."""
        document = {"pattern": pattern, "keep_last": keep_last, "keep_aliased": keep_aliased}
        rule: RetentionRule = self._connection.ask(RetentionRule, "PUT", "/retention", json=document)
        return rule

    def remove(self, pattern: str, *, actor: str) -> None:  # noqa: ARG002 - the key's
        """Take a rule back."""
        self._connection.ask(None, "POST", "/retention/remove", json={"pattern": pattern})

    def list(self) -> Sequence[RetentionRule]:
        """Every rule, by pattern."""
        rules: Sequence[RetentionRule] = self._connection.ask(Sequence[RetentionRule], "GET", "/retention")
        return rules


class Collection:
    """Garbage collection, on the server; for a key with the scope ``admin``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, *, actor: str, dry_run: bool = False) -> Collected:  # noqa: ARG002 - the key's
        """Apply retention rules, carry out deletions that are due, remove content that nothing names."""
        collected: Collected = self._connection.ask(
            Collected, "POST", "/collection", json={"dry_run": dry_run}, silence=MOVING
        )
        return collected


def _text(ref: AdapterRef | str) -> str:
    return str(AdapterRef.parse(ref) if isinstance(ref, str) else ref)


def _of(name: str | None) -> dict[str, str]:
    return {} if name is None else {"name": name}
