"""How people name an adapter: ``name``, ``name:3``, ``name@prod``, ``name@sha256:<hex>``."""

import re
from dataclasses import dataclass

from registry.errors import InvalidReference

DEFAULT_ALIAS = "prod"
MAX_VERSION = 2**31 - 1

_SEGMENT = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
_NAME = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})?", re.ASCII)
_ALIAS = re.compile(r"[a-z](?:[a-z0-9_-]{0,30}[a-z0-9])?", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{8,64}", re.ASCII)
_VERSION = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)

FORMS = "name, name:3, name@prod or name@sha256:<8 to 64 hex digits>"


@dataclass(frozen=True, slots=True)
class AdapterRef:
    """One parsed reference; exactly one of the three selectors is set.

    Attributes:
        name: adapter name, lower case, perhaps with one namespace (``team/name``).
        version: version number, from 1.
        alias: alias name; ``prod`` where a bare name was written.
        digest: ``sha256:`` and 8 to 64 hex digits of the version's digest.
    """

    name: str
    version: int | None = None
    alias: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> "AdapterRef":
        """Read a reference as a person types it.

        Raises:
            InvalidReference: the text has none of the four forms.
        """
        if "@" in text:
            name, _, selector = text.partition("@")
            if selector.startswith("sha256:"):
                return cls(valid_name(name), digest=_valid_digest(selector, text))
            return cls(valid_name(name), alias=valid_alias(selector))
        name, colon, number = text.partition(":")
        if not colon:
            return cls(valid_name(name), alias=DEFAULT_ALIAS)
        if not _VERSION.fullmatch(number) or int(number) > MAX_VERSION:
            raise InvalidReference(
                f"{shown(text)} has no version number after the colon.", f"Write {name}:1 or {name}@prod."
            )
        return cls(valid_name(name), version=int(number))

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.name}:{self.version}"
        return f"{self.name}@{self.digest or self.alias}"


def valid_name(name: str) -> str:
    """Return ``name`` if it can name an adapter or a base.

    Raises:
        InvalidReference: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise InvalidReference(
            f"{shown(name)} is not a name: lower-case letters, digits, '.', '_' and '-', one '/' at most.",
            f"References look like {FORMS}.",
        )
    return name


def valid_alias(alias: str) -> str:
    """Return ``alias`` if it can name an alias.

    Raises:
        InvalidReference: it cannot.
    """
    if not _ALIAS.fullmatch(alias):
        raise InvalidReference(
            f"{shown(alias)} is not an alias: lower-case letters, digits, '_' and '-', a letter first.",
            "Aliases look like prod or canary.",
        )
    return alias


def shown(text: str, limit: int = 80) -> str:
    """Quote untrusted text for a message: printable, on one line, bounded."""
    cut = text if len(text) <= limit else text[:limit] + "…"
    return ascii(cut)


def _valid_digest(digest: str, text: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise InvalidReference(f"{shown(text)} has no digest after the '@'.", f"References look like {FORMS}.")
    return digest
