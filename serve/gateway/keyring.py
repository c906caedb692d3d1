"""The keyring: the registry's API keys in memory, so that no request waits for a database."""

import asyncio
import logging
from collections.abc import Sequence

from registry.api_key import ApiKey, id_of
from registry.store import Registry
from serve.own_thread import in_own_thread

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5


class Keyring:
    """A copy that follows the registry's events. It grows with the registry and with nothing that a client sends.

    Constructing it reads the registry, and so blocks. While the registry is away, the keys that are known work.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._seen = registry.events.last_id()  # before the keys: what is announced later is read again
        self._keys = _by_id(registry.keys.list())

    def find(self, token: bytes) -> ApiKey | None:
        """The key whose token this is, revoked and expired ones too, or None."""
        id_ = id_of(token)
        key = self._keys.get(id_) if id_ else None
        return key if key and key.proves(token) else None

    async def follow(self) -> None:
        """Keep the copy up to date until cancelled."""
        away = False
        while True:
            try:
                keys = await in_own_thread(self._changed)
                away = False
            except Exception as error:  # noqa: BLE001 - whatever a registry does, the keys that are known work
                if not away:
                    log.warning("The registry does not answer, going on with the API keys that are known: %s", error)
                away, keys = True, None
            if keys is not None:
                self._keys = _by_id(keys)
            await asyncio.sleep(POLL_SECONDS)

    def _changed(self) -> Sequence[ApiKey] | None:
        """Every key, if one changed since the last call. Blocks."""
        last, seen, changed = self._registry.events.last_id(), self._seen, False
        while seen < last and (events := self._registry.events.after(seen)):
            changed = changed or any(event.kind == "key" for event in events)
            seen = events[-1].id
        keys = self._registry.keys.list() if changed else None
        self._seen = max(seen, last)  # only now: a failure above is tried again
        return keys


def _by_id(keys: Sequence[ApiKey]) -> dict[str, ApiKey]:
    return {key.id: key for key in keys}
