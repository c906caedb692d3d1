"""Webhook: where events are posted to, and what is posted.

The request is what Standard Webhooks describes (https://www.standardwebhooks.com): a JSON body with ``type``,
``timestamp`` and ``data``; the headers ``webhook-id`` (the same at each attempt), ``webhook-timestamp`` (seconds) and
``webhook-signature``, an HMAC-SHA256 over all three that their libraries verify.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from registry.errors import InvalidInput
from registry.event import Event
from registry.refs import shown
from registry.times import from_text, to_text

SECRET_BYTES = 32
URL_LENGTH = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One receiver, without its secret.

    Attributes:
        id: 12 hex digits.
        url: ``http://`` or ``https://``.
        kinds: of the events that it hears; none means all.
        names: patterns of their subjects, with ``*``; none means all.
        created: UTC.
        actor: who added it.
        delivered: when a delivery last succeeded, UTC, or None.
        waiting: deliveries that are still to be made.
        dead: deliveries that were given up.
    """

    id: str
    url: str
    kinds: tuple[str, ...]
    names: tuple[str, ...]
    created: datetime
    actor: str
    delivered: datetime | None = None
    waiting: int = 0
    dead: int = 0

    def hears(self, kind: str, subject: str) -> bool:
        """Whether an event is for it."""
        named = not self.names or any(fnmatchcase(subject, pattern) for pattern in self.names)
        return named and (not self.kinds or kind in self.kinds)

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints and servers answer."""
        times = {"created": to_text(self.created), "delivered": to_text(self.delivered) if self.delivered else None}
        return asdict(self) | times | {"kinds": list(self.kinds), "names": list(self.names)}


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook at its making: the only time that its secret is shown."""

    webhook: Webhook
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one webhook.

    Attributes:
        webhook: its id.
        url: of the webhook.
        event: what is delivered.
        attempts: how many have failed.
        due: when the next is made, UTC.
        dead: when it was given up, UTC, or None.
        failure: why the last attempt failed, or an empty string.
    """

    webhook: str
    url: str
    event: Event
    attempts: int
    due: datetime
    dead: datetime | None
    failure: str

    @property
    def id(self) -> str:
        """The same at each attempt, so that a receiver can tell a repetition."""
        return f"{self.webhook}-{self.event.id}"

    @property
    def body(self) -> bytes:
        """What is posted; the same bytes at each attempt."""
        document = {"type": self.event.kind, "timestamp": to_text(self.event.created), "data": self.event.to_json()}
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints and servers answer."""
        return {
            "id": self.id,
            "webhook": self.webhook,
            "url": self.url,
            "event": self.event.to_json(),
            "attempts": self.attempts,
            "due": to_text(self.due),
            "dead": to_text(self.dead) if self.dead else None,
            "failure": self.failure,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Delivery":
        """Inverse of ``to_json``."""
        return cls(
            webhook=document["webhook"],
            url=document["url"],
            event=Event.from_json(document["event"]),
            attempts=document["attempts"],
            due=from_text(document["due"]),
            dead=from_text(document["dead"]) if document["dead"] else None,
            failure=document["failure"],
        )


def new_secret() -> str:
    """256 random bits in the standard's form."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


def signed_headers(secret: str, id_: str, at: datetime, body: bytes) -> dict[str, str]:
    """Headers that prove who sent a body, and when (Standard Webhooks 1.0, symmetric signature ``v1``)."""
    timestamp = int(at.timestamp())
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signature = hmac.digest(key, f"{id_}.{timestamp}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }


def valid_url(url: str) -> str:
    """Return ``url`` if events can be posted to it.

    Raises:
        InvalidInput: it is no http(s) URL with a host, or it holds a password, which lists would show.
    """
    try:
        parts = urlsplit(url)
        usable = bool(parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0)
    except ValueError:
        usable = False
    if not usable or len(url) > URL_LENGTH or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidInput(f"{shown(url)} is no URL to post to.", "Write https://example.com/hook.")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidInput(
            "A webhook's URL holds no user, password or fragment.",
            "The signature proves who sends; see docs/events.md.",
        )
    return url


def valid_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns, each once.

    Raises:
        InvalidInput: one is empty, too long or not printable.
    """
    for name in names:
        if not name or len(name) > 129 or not name.isascii() or not name.isprintable():
            raise InvalidInput(f"{shown(name)} matches nothing that an event is about.", "Write support, or 'team/*'.")
    return tuple(dict.fromkeys(names))
