"""Routes of aliases: promote and roll back, each perhaps on a condition; list and history."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Header, Response
from pydantic import AfterValidator, BaseModel, Field

from registry.alias import UNSET, Alias, Move
from registry.errors import Conflict, InvalidInput, InvalidReference, NotFound
from registry.refs import MAX_VERSION, AdapterRef, shown
from registry.server.bodies import StrictRoute
from registry.server.callers import Kept, Promoter, Reader
from registry.server.errors import Moved
from registry.server.fields import AliasName, Line, Name, Ref

router = APIRouter(route_class=StrictRoute, tags=["aliases"])

_TAG = re.compile(r'"([0-9a-f]{1,64})"', re.ASCII)


def _alias_ref(text: str) -> str:
    ref = AdapterRef.parse(text)
    if ref.alias is None or "@" not in text:
        raise InvalidReference(f"{shown(text)} names no alias.", "Write NAME@ALIAS.")
    return str(ref)


Target = Annotated[str, AfterValidator(_alias_ref)]
IfMatch = Annotated[str | None, Header(max_length=128)]


class Promotion(BaseModel):
    """To which version an alias moves, and why; ``force`` overrules the gate and needs a reason."""

    ref: Ref
    reason: Line = ""
    force: bool = False


class Rollback(BaseModel):
    """Which version an alias goes back to (the one before by default), and why."""

    to: int | None = Field(default=None, ge=1, le=MAX_VERSION)
    reason: Line = ""


@router.get("/aliases")
def list_aliases(caller: Reader, registry: Kept, name: Name | None = None) -> Sequence[Alias]:
    """Where the aliases of one adapter, or of all that the key may name, point now."""
    return [alias for alias in registry.aliases.list(name) if caller.may_name(alias.name)]


@router.get("/aliases/{target:path}")
def get(caller: Reader, registry: Kept, target: Target, response: Response) -> Alias:
    """Where one alias (``name@prod``) points now; ETag is another one after each move."""
    ref = AdapterRef.parse(target)
    caller.prove_may_name(ref.name)
    found = next((alias for alias in registry.aliases.list(ref.name) if alias.alias == ref.alias), None)
    if found is None:
        raise NotFound(f"{ref.name} has no alias {ref.alias}.", f"registry promote {ref.name}:1 {ref.alias}")
    response.headers["etag"] = f'"{found.tag}"'
    return found


@router.put("/aliases/{target:path}")
def promote(
    caller: Promoter,
    registry: Kept,
    target: Target,
    promotion: Promotion,
    if_match: IfMatch = None,
    if_none_match: IfMatch = None,
) -> Alias:
    """Move an alias to a version.

    With ``If-Match`` (its ETag as you saw it) or ``If-None-Match: *`` (you saw none) it moves only if nobody else has
    moved it since; else the answer is 412.
    """
    ref = AdapterRef.parse(target)
    caller.prove_may_name(ref.name)
    if AdapterRef.parse(promotion.ref).name != ref.name:
        raise InvalidInput(f"{promotion.ref} is no version of {ref.name}.", "An alias stays within one adapter.")
    expected = _expected(if_match, if_none_match)
    with _conditional(expected):
        return registry.aliases.promote(
            promotion.ref,
            str(ref.alias),
            actor=caller.actor,
            reason=promotion.reason,
            force=promotion.force,
            expected=expected,
        )


@router.post("/aliases/{target:path}/rollback")
def rollback(
    caller: Promoter,
    registry: Kept,
    target: Target,
    back: Rollback,
    if_match: IfMatch = None,
    if_none_match: IfMatch = None,
) -> Alias:
    """Move an alias back to the version it named before, or to one that it named once; conditions as for PUT."""
    ref = AdapterRef.parse(target)
    caller.prove_may_name(ref.name)
    expected = _expected(if_match, if_none_match)
    with _conditional(expected):
        return registry.aliases.rollback(
            ref.name, str(ref.alias), actor=caller.actor, reason=back.reason, to=back.to, expected=expected
        )


@router.get("/history")
def history(caller: Reader, registry: Kept, name: Name, alias: AliasName | None = None) -> Sequence[Move]:
    """Every move of an adapter's aliases, oldest first."""
    return registry.aliases.history(name, alias) if caller.may_name(name) else []


def _expected(if_match: str | None, if_none_match: str | None) -> str | None:
    if if_none_match is not None:
        if if_none_match != "*" or if_match is not None:
            raise InvalidInput("If-None-Match takes * here, and stands alone.")
        return UNSET
    if if_match is None:
        return None
    found = _TAG.fullmatch(if_match)
    if not found:
        raise InvalidInput("If-Match is not the ETag of an alias.", "GET /aliases/NAME@ALIAS")
    return found[1]


@contextmanager
def _conditional(expected: str | None) -> Iterator[None]:
    try:
        yield
    except Conflict as error:
        if expected is None:
            raise
        raise Moved(error.message, error.hint) from error
