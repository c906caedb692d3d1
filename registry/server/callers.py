"""Callers: who asks, known by their key before a byte of the body is read, and what they may."""

import asyncio
import logging
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.concurrency import run_in_threadpool
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from starlette.types import ASGIApp, Receive, Scope, Send

from registry.api_key import ANONYMOUS, ApiKey, id_of
from registry.embedded.audit import acting
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import AdaptoryError, NotFound, Refused
from registry.server.errors import KeyRefused, ScopeMissing
from registry.server.problems import problem
from registry.times import now

log = logging.getLogger(__name__)

OPEN = frozenset({"/healthz", "/openapi.json", "/docs"})
"""Paths that need no key: whether the server lives, and what it can be asked."""

NOTED_EVERY = timedelta(minutes=1)

_BEARER = re.compile(rb"bearer +(\S+) *", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks; ``key`` is None where the server needs none."""

    key: ApiKey | None

    @property
    def actor(self) -> str:
        """What histories call them: the key's name, never what a client says."""
        return self.key.name if self.key else ANONYMOUS

    @property
    def id(self) -> str:
        """The key's id."""
        return self.key.id if self.key else ANONYMOUS

    @property
    def limited(self) -> bool:
        """Whether the key is for some names only."""
        return self.key is not None and bool(self.key.adapters)

    def allows(self, scope: str) -> bool:
        """Whether the caller has a scope."""
        return self.key is None or self.key.allows(scope)

    def may_name(self, name: str) -> bool:
        """Whether the key is for the adapter of this name."""
        return self.key is None or self.key.may_name(name)

    def prove_may_name(self, name: str) -> None:
        """Prove that the key is for the adapter of this name.

        Raises:
            NotFound: what a name that does not exist gets, so that nobody learns of another's adapters.
        """
        if not self.may_name(name):
            raise NotFound(f"No adapter is called {name}.", "registry list")

    def prove_may_make(self, name: str) -> None:
        """Prove that the key is for the adapter of this name, which need not exist.

        Raises:
            Refused: it is for others.
        """
        if self.key and not self.key.may_name(name):
            raise Refused(f"The API key {self.id} is for {', '.join(self.key.adapters)} only, not for {name}.")


class Doorkeeper:
    """Knows callers by their keys; lets nobody else in.

    A key is looked up for each request, so that one that was revoked is refused at once.
    """

    def __init__(self, app: ASGIApp, *, keys_required: bool) -> None:
        self._app = app
        self._keys_required = keys_required
        self._noted: dict[str, datetime] = {}
        self._writing: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or scope["path"] in OPEN:
            await self._app(scope, receive, send)
            return
        try:
            caller = await run_in_threadpool(self._caller, scope) if self._keys_required else Caller(None)
        except AdaptoryError as error:
            await problem(error)(scope, receive, send)
            return
        if caller.key:
            self._note(scope, caller.key)
        scope.setdefault("state", {})["caller"] = caller
        with acting(caller.actor, caller.id):
            await self._app(scope, receive, send)

    def _caller(self, scope: Scope) -> Caller:
        registry: EmbeddedRegistry = scope["app"].state.registry
        token = _token(scope)
        if token is None:
            raise KeyRefused("The registry wants an API key, and this request has none.", "Set ADAPTORY_API_KEY.")
        id_ = id_of(token)
        key = registry.keys.get(id_) if id_ else None
        if key is None or not key.proves(token):
            raise KeyRefused("The registry does not know this API key.", "registry key create NAME makes one.")
        if key.revoked:
            raise KeyRefused(f"The API key {key.id} was revoked.", "registry key create NAME makes another.")
        if key.expired(now()):
            raise KeyRefused(f"The API key {key.id} has expired.", "registry key create NAME makes another.")
        return Caller(key)

    def _note(self, scope: Scope, key: ApiKey) -> None:
        """Have it written that the key was used, which no request waits for or fails with."""
        at = now()
        if key.id in self._noted and at - self._noted[key.id] <= NOTED_EVERY:
            return
        self._noted[key.id] = at
        registry: EmbeddedRegistry = scope["app"].state.registry
        task = asyncio.create_task(asyncio.to_thread(_write_use, registry, key.id, at))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)


def _write_use(registry: EmbeddedRegistry, key: str, at: datetime) -> None:
    try:
        registry.usage.add([], {key: at})
    except AdaptoryError as error:
        log.warning("That the key %s was used is not written: %s", key, error)


def _token(scope: Scope) -> bytes | None:
    """What is sent as ``Authorization: Bearer``, or else as ``x-api-key``."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    for name, value in headers:
        if name == b"authorization" and (found := _BEARER.fullmatch(value)):
            return found[1]
    return next((value.strip() for name, value in headers if name == b"x-api-key" and value.strip()), None)


_documented = HTTPBearer(auto_error=False, description="An API key: `registry key create NAME --scope read`.")


async def _scoped(
    request: Request,
    needed: SecurityScopes,
    _token: Annotated[HTTPAuthorizationCredentials | None, Depends(_documented)],
) -> Caller:
    caller: Caller = request.state.caller
    for scope in needed.scopes:
        if caller.key and not caller.key.allows(scope):
            has = ", ".join(caller.key.scopes)
            raise ScopeMissing(f"The API key {caller.id} lacks the scope {scope}; it has {has}.")
    return caller


Reader = Annotated[Caller, Security(_scoped, scopes=["read"])]
Pusher = Annotated[Caller, Security(_scoped, scopes=["push"])]
Promoter = Annotated[Caller, Security(_scoped, scopes=["promote"])]
Admin = Annotated[Caller, Security(_scoped, scopes=["admin"])]


async def _registry(request: Request) -> EmbeddedRegistry:
    registry: EmbeddedRegistry = request.app.state.registry
    return registry


Kept = Annotated[EmbeddedRegistry, Depends(_registry)]
"""The registry behind the server, for a route."""
