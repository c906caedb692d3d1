"""ApiKey: who may ask, for what, and how much.

A key's token is ``ak-<id>-<secret>``: 12 hex digits that name it everywhere, and 256 random bits that prove it. Only
the SHA-256 of the whole token is kept. A slow hash (bcrypt, argon2) protects secrets that people make up, by making
guesses dear; nobody guesses 256 random bits, and a slow hash would cost every request milliseconds.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from registry.errors import InvalidInput
from registry.refs import shown
from registry.times import from_text, to_text

SCOPES = ("read", "push", "promote", "infer", "admin")
SECRET_BYTES = 32

_TOKEN = re.compile(rb"ak-([0-9a-f]{12})-[A-Za-z0-9_-]{43}")
_PATTERN = re.compile(r"[a-z0-9*][a-z0-9._*-]{0,63}(?:/[a-z0-9*][a-z0-9._*-]{0,63})?", re.ASCII)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._@+/-]{0,62}[A-Za-z0-9])?", re.ASCII)

ANONYMOUS = "anonymous"
"""Stands for the id of a key where none was needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a key may use; None is no limit.

    Attributes:
        requests_per_minute: refilled continuously.
        tokens_per_minute: of prompts and answers together, refilled continuously.
        concurrent: requests at once.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key, without its secret.

    Attributes:
        id: 12 hex digits; what logs and accounts call it.
        name: what people call it.
        hash: SHA-256 of the token, hex.
        scopes: some of SCOPES; ``admin`` includes the others.
        adapters: patterns of names that it may use, with ``*``; none means every adapter and the base.
        limits: what it may use.
        weight: its share of a server's engine beside the other keys'.
        created: UTC.
        actor: who made it.
        expires: when it stops working, UTC, or None.
        last_used: UTC, some seconds late, or None.
        revoked: when it was revoked, UTC, or None.
    """

    id: str
    name: str
    hash: str
    scopes: tuple[str, ...]
    adapters: tuple[str, ...]
    limits: Limits
    weight: float
    created: datetime
    actor: str
    expires: datetime | None = None
    last_used: datetime | None = None
    revoked: datetime | None = None

    def proves(self, token: bytes) -> bool:
        """Whether this is the key's token; takes the same time for every wrong one."""
        return hmac.compare_digest(self.hash, hash_token(token))

    def expired(self, at: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= at

    def usable(self, at: datetime) -> bool:
        """Whether it works: neither revoked nor expired."""
        return self.revoked is None and not self.expired(at)

    def allows(self, scope: str) -> bool:
        """Whether it has a scope."""
        return scope in self.scopes or "admin" in self.scopes

    def may_name(self, name: str) -> bool:
        """Whether it may use the adapter, or the base, of this name (no version, no alias)."""
        return not self.adapters or any(fnmatchcase(name, pattern) for pattern in self.adapters)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "ApiKey":
        """Read ``to_json`` together with ``hash``."""
        limits = {name: document[name] for name in Limits.__slots__}
        fields = {name: value for name, value in document.items() if name not in limits}
        for name in ("created", "expires", "last_used", "revoked"):
            fields[name] = from_text(document[name]) if document[name] else None
        for name in ("scopes", "adapters"):
            fields[name] = tuple(document[name])
        return cls(**fields, limits=Limits(**limits))

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints: everything but the hash."""
        fields = {key: value for key, value in asdict(self).items() if key not in {"hash", "limits"}}
        times = {key: to_text(value) for key, value in fields.items() if isinstance(value, datetime)}
        return fields | times | {"scopes": list(self.scopes), "adapters": list(self.adapters)} | asdict(self.limits)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at its making: the only time that its token is known."""

    key: ApiKey
    token: str


def new_token() -> tuple[str, str]:
    """A new id, and the token that it is part of."""
    id_ = secrets.token_hex(6)
    return id_, f"ak-{id_}-{secrets.token_urlsafe(SECRET_BYTES)}"


def id_of(token: bytes) -> str | None:
    """The id that a token claims, or None where it is no token at all."""
    found = _TOKEN.fullmatch(token)
    return found[1].decode() if found else None


def hash_token(token: bytes) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token).hexdigest()


def valid_key_name(name: str) -> str:
    """Return ``name`` if it can name a key.

    Raises:
        InvalidInput: it cannot.
    """
    if not _NAME.fullmatch(name) or name == ANONYMOUS:
        raise InvalidInput(
            f"{shown(name)} cannot name a key: 1 to 64 letters, digits and any of ' ._@+/-' between them.",
            "Take one like ci-tests.",
        )
    return name


def valid_patterns(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns if each can match an adapter's name.

    Raises:
        InvalidInput: one cannot.
    """
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern):
            raise InvalidInput(
                f"{shown(pattern)} matches no adapter: a name was expected, maybe with '*', without version or alias.",
                "Write support, or 'team/*'.",
            )
    return tuple(dict.fromkeys(patterns))


def valid_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """Return the scopes in their usual order.

    Raises:
        InvalidInput: there is none, or an unknown one.
    """
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        what = f"{shown(unknown[0])} is no scope" if unknown else "A key without a scope is good for nothing"
        raise InvalidInput(f"{what}; there are {', '.join(SCOPES)}.", "Write --scope infer.")
    return tuple(scope for scope in SCOPES if scope in scopes)
