"""Routes of signatures, and of the policies that ask for them."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from registry.retention import MAX_PATTERN
from registry.server.bodies import StrictRoute
from registry.server.callers import Admin, Kept, Pusher, Reader
from registry.server.fields import Digest, proved_digest
from registry.server.reports import knows
from registry.server.staging import name_of
from registry.signature import Signature
from registry.signing_policy import SigningPolicy

router = APIRouter(route_class=StrictRoute, tags=["signatures"])

Pattern = Annotated[str, Field(max_length=MAX_PATTERN)]


class Policy(BaseModel):
    """A key (PEM) that may sign for the adapters that ``pattern`` fits."""

    pattern: Pattern
    public_key: str = Field(max_length=8192)


class PolicyName(BaseModel):
    """The policies of a pattern, or the one whose key's id begins so."""

    pattern: Pattern
    key: str = Field(default="", max_length=64)


class Removed(BaseModel):
    """How many there were."""

    removed: int


@router.post("/signatures")
def add(caller: Pusher, registry: Kept, signature: Signature) -> Signature:
    """Keep a signature, which is proved before."""
    name_of(registry, caller, proved_digest(signature.version_digest))
    return registry.signatures.add(signature, actor=caller.actor)


@router.get("/signatures")
def list_signatures(caller: Reader, registry: Kept, version: Digest) -> Sequence[Signature]:
    """The signatures of a version, oldest first."""
    return registry.signatures.list(version) if knows(caller, registry, version) else []


@router.get("/signing-policies")
def list_policies(_caller: Reader, registry: Kept) -> Sequence[SigningPolicy]:
    """Every policy, by pattern."""
    return registry.signing_policies.list()


@router.post("/signing-policies")
def add_policy(caller: Admin, registry: Kept, policy: Policy) -> SigningPolicy:
    """Ask for a signature by this key; several keys of one pattern are alternatives."""
    return registry.signing_policies.add(policy.pattern, policy.public_key, actor=caller.actor)


@router.post("/signing-policies/remove")
def remove_policy(caller: Admin, registry: Kept, policy: PolicyName) -> Removed:
    """Take policies away."""
    return Removed(removed=registry.signing_policies.remove(policy.pattern, policy.key, actor=caller.actor))
