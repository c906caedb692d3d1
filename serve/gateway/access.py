"""Access: who may ask what, how much of it, and whose account it goes to."""

import contextlib
import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from starlette.types import Scope

from registry.api_key import ANONYMOUS, ApiKey
from registry.errors import InvalidInput, NotFound
from registry.refs import shown
from registry.store import Registry
from registry.times import now
from serve.errors import KeyRefused, ScopeMissing
from serve.gateway.accounting import Accounting
from serve.gateway.keyring import Keyring
from serve.gateway.quota import Allowance, Quotas

INFER = "infer"
READ = "read"

_BEARER = re.compile(rb"bearer +(\S+) *", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks; ``key`` is None where none is needed."""

    key: ApiKey | None

    @property
    def id(self) -> str:
        """What logs, the scheduler and accounts call it."""
        return self.key.id if self.key else ANONYMOUS

    @property
    def weight(self) -> float:
        """Its share of the engine beside the others'."""
        return self.key.weight if self.key else 1.0

    def may_name(self, model: str) -> bool:
        """Whether the key lets it name the adapter, or the base, of a model string."""
        return self.key is None or self.key.may_name(re.split("[:@]", model, maxsplit=1)[0])

    @contextlib.contextmanager
    def naming(self, model: str) -> Iterator[None]:
        """Look something up by a model string: what the key may not name does not exist, nor is it hinted at.

        Raises:
            NotFound: the same for a name that is not there and for one that is another key's.
        """
        unknown = NotFound(f"The model {shown(model)} does not exist.", "GET /v1/models lists what this key can name.")
        if not self.may_name(model):
            raise unknown
        try:
            yield
        except NotFound as error:
            if self.key and self.key.adapters:
                raise unknown from error
            raise


class Access:
    """Knows callers by their keys.

    Attributes:
        accounting: what callers used.
    """

    def __init__(
        self,
        keyring: Keyring | None,
        accounting: Accounting,
        *,
        quotas: Quotas | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        """``keyring`` is None where no key is needed; keys that are sent are then ignored."""
        self.accounting = accounting
        self._keyring = keyring
        self._quotas = quotas or Quotas()
        self._clock = clock

    @classmethod
    def to(cls, registry: Registry, *, keys_required: bool) -> "Access":
        """Access by the keys of a registry, whose accounts are kept there. Blocks."""
        return cls(Keyring(registry) if keys_required else None, Accounting(registry.usage))

    async def follow(self) -> None:
        """Hear of new and revoked keys until cancelled."""
        if self._keyring:
            await self._keyring.follow()

    def caller(self, request: Scope, needed: str) -> Caller:
        """Who sends this request.

        Raises:
            KeyRefused: no key, or none that works.
            ScopeMissing: the key is for something else.
        """
        if self._keyring is None:
            return Caller(None)
        token = _token(request)
        if token is None:
            raise KeyRefused("There is no API key in this request.", "Send Authorization: Bearer ak-…")
        key = self._keyring.find(token)
        if key is None:
            raise KeyRefused("This API key is not known.", "registry key create NAME makes one.")
        if key.revoked:
            raise KeyRefused(f"The API key {key.id} was revoked.", "registry key create NAME makes another.")
        if key.expired(self._clock()):
            raise KeyRefused(f"The API key {key.id} has expired.", "registry key create NAME makes another.")
        if not key.allows(needed):
            raise ScopeMissing(f"The API key {key.id} lacks the scope {needed}; it has {', '.join(key.scopes)}.")
        self.accounting.seen(key.id)
        return Caller(key)

    def allowance(self, caller: Caller) -> Allowance:
        """What the caller has left."""
        return self._quotas.allowance(caller.key)


def keys_required(asked: str | None, address: str, registry: Registry) -> bool:
    """Whether requests need a key.

    By default they do on every address but loopback, and on loopback once the registry has had a key with the scope
    infer or admin, also if that was revoked since: taking the last key away must not open the door.

    Args:
        asked: ``required``, ``off`` or None.
        address: the IP address that is listened on.
        registry: has the keys.

    Raises:
        InvalidInput: nothing was asked, others can reach the address, and no key would work.
    """
    if asked:
        return asked == "required"
    keys = [key for key in registry.keys.list() if key.allows(INFER)]
    if ipaddress.ip_address(address).is_loopback:
        return bool(keys)
    if not any(key.usable(now()) for key in keys):
        raise InvalidInput(
            f"Others can reach {address}, and no key with the scope infer or admin is usable.",
            "registry key create NAME, or --keys off to let everybody in.",
        )
    return True


def _token(request: Scope) -> bytes | None:
    """What is sent as ``Authorization: Bearer``, or else as ``x-api-key``."""
    headers: list[tuple[bytes, bytes]] = request["headers"]
    for name, value in headers:
        if name == b"authorization" and (found := _BEARER.fullmatch(value)):
            return found[1]
    return next((value.strip() for name, value in headers if name == b"x-api-key" and value.strip()), None)
