"""Routes of keys and of what was used with them: for admins, and for servers, which know keys by their hashes."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from registry.api_key import ApiKey, Limits, NewKey
from registry.errors import InvalidInput
from registry.refs import MAX_VERSION
from registry.server.bodies import StrictRoute
from registry.server.callers import Admin, Kept
from registry.server.fields import Batch
from registry.usage import Usage

router = APIRouter(route_class=StrictRoute, tags=["keys"])

MAX_COUNT = 2**53
"""Tokens in one row; beyond it JSON's numbers are no longer exact everywhere."""

IdOrName = Annotated[str, Field(min_length=1, max_length=64)]
Limit = Annotated[int | None, Field(ge=1, le=MAX_VERSION)]


class KeyRequest(BaseModel):
    """The key that is to be made; fields as those of a key, ``lifetime`` in seconds or ISO 8601."""

    name: IdOrName
    scopes: list[str] = Field(default=["infer"], max_length=16)
    adapters: list[str] = Field(default=[], max_length=256)
    requests_per_minute: Limit = None
    tokens_per_minute: Limit = None
    concurrent: Limit = None
    weight: float = Field(default=1.0, ge=0.01, le=100)
    lifetime: Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=36_500))] | None = None


class Revocation(BaseModel):
    """The id or the name of the key that is to stop."""

    key: IdOrName


class UsageQuestion(BaseModel):
    """Whose use is asked for: of these keys' ids, this adapter, from this day on; all by default."""

    keys: list[IdOrName] | None = Field(default=None, max_length=10_000)
    adapter: Annotated[str, Field(max_length=129)] | None = None
    since: date | None = None


class Amounts(BaseModel):
    """What was used since the last call, and when keys were used last."""

    amounts: list[Usage] = Field(max_length=100_000)
    last_used: dict[Annotated[str, Field(max_length=32)], datetime] = Field(max_length=100_000)
    batch: Batch = ""


@router.post("/keys")
def create(caller: Admin, registry: Kept, asked: KeyRequest) -> NewKey:
    """Make a key; what is returned holds the only copy of its token."""
    limits = Limits(**{name: getattr(asked, name) for name in Limits.__slots__})
    return registry.keys.create(
        asked.name,
        actor=caller.actor,
        scopes=asked.scopes,
        adapters=asked.adapters,
        limits=limits,
        weight=asked.weight,
        lifetime=asked.lifetime,
    )


@router.get("/keys")
def list_keys(_caller: Admin, registry: Kept) -> Sequence[ApiKey]:
    """Every key, oldest first, with the hash of its token: servers prove tokens by it."""
    return registry.keys.list()


@router.post("/keys/revoke")
def revoke(_caller: Admin, registry: Kept, asked: Revocation) -> Sequence[ApiKey]:
    """Stop a key for good, by its id or by its name."""
    return registry.keys.revoke(asked.key)


@router.post("/usage", status_code=204)
def add_usage(_caller: Admin, registry: Kept, used: Amounts) -> None:
    """Add amounts to the accounts, all or nothing; a batch that was added is not added again."""
    for one in used.amounts:
        counts = (one.requests, one.tokens_in, one.tokens_out)
        if len(one.key) > 32 or len(one.adapter) > 129 or not 0 <= one.number <= MAX_VERSION:
            raise InvalidInput("An account is of a key's id, an adapter's name and a version's number.")
        if not all(0 <= count < MAX_COUNT for count in counts):
            raise InvalidInput(f"Amounts are from 0 to {MAX_COUNT}.")
    registry.usage.add(used.amounts, used.last_used, used.batch)


@router.post("/usage/query")
def list_usage(_caller: Admin, registry: Kept, asked: UsageQuestion) -> Sequence[Usage]:
    """What was used, by day, key, adapter and number."""
    return registry.usage.list(keys=asked.keys, adapter=asked.adapter, since=asked.since)
