"""RetentionRule: which versions of an adapter are kept without anybody asking."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from registry.errors import InvalidInput
from registry.refs import shown
from registry.times import from_text, to_text

MAX_PATTERN = 129
_ALLOWED = frozenset("abcdefghijklmnopqrstuvwxyz0123456789._-/*?")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRule:
    """For the adapters that it fits: what it keeps cannot be deleted, the rest is deleted by ``registry gc``.

    Attributes:
        pattern: an adapter's name, in which ``*`` and ``?`` stand for any characters and any one character.
        keep_last: the newest so many versions are kept, 1 at least.
        keep_aliased: every version that an alias ever named is kept too.
        actor: who made the rule.
        created: when, UTC.
    """

    pattern: str
    keep_last: int
    keep_aliased: bool
    actor: str
    created: datetime

    def __str__(self) -> str:
        aliased = " and all that an alias ever named" if self.keep_aliased else ""
        return f"{self.pattern}: keep the last {self.keep_last}{aliased}"

    def keeps(self, number: int, numbers: Iterable[int], aliased: Iterable[int]) -> bool:
        """Whether the rule keeps the version ``number``.

        Args:
            number: the version.
            numbers: every version of the adapter that is not deleted.
            aliased: those that an alias ever named.
        """
        newest = sorted(numbers, reverse=True)[: self.keep_last]
        return number in newest or (self.keep_aliased and number in set(aliased))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "RetentionRule":
        """Inverse of ``to_json``."""
        return cls(**document | {"created": from_text(document["created"])})

    def to_json(self) -> dict[str, Any]:
        """The form that is stored and shown."""
        return asdict(self) | {"created": to_text(self.created)}


def rule_for(name: str, rules: Iterable[RetentionRule]) -> RetentionRule | None:
    """The rule that decides about an adapter: the one of its very name, else the longest pattern that fits."""
    fitting = [rule for rule in rules if fnmatchcase(name, rule.pattern)]
    return max(fitting, key=lambda rule: (rule.pattern == name, len(rule.pattern), rule.pattern), default=None)


def valid_pattern(pattern: str) -> str:
    """Return ``pattern`` if it can fit an adapter's name.

    Raises:
        InvalidInput: it cannot.
    """
    if not pattern or len(pattern) > MAX_PATTERN or not _ALLOWED.issuperset(pattern):
        raise InvalidInput(
            f"{shown(pattern)} fits no adapter's name; a name was expected, perhaps with * and ?.",
            "Patterns look like support or team/*.",
        )
    return pattern
