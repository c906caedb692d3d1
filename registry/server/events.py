"""Routes of events: a stream that goes on where a reader was cut, and pages for those who poll."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from registry.embedded.registry import EmbeddedRegistry
from registry.errors import AdaptoryError
from registry.event import Event, valid_kinds
from registry.server.bodies import StrictRoute
from registry.server.callers import Caller, Kept, Reader
from registry.times import now

router = APIRouter(route_class=StrictRoute, tags=["events"])

LOOK_SECONDS = 0.1
HEARTBEAT_SECONDS = 5.0
RETRY_MILLISECONDS = 1000
PAGE = 500
MAX_EVENT = 2**31 - 1

EventId = Annotated[int, Field(ge=0, le=MAX_EVENT)]
Kinds = Annotated[list[str], Query(max_length=20)]
Names = Annotated[list[Annotated[str, Field(pattern="^[!-~]( *[!-~]){0,128}$")]], Query(max_length=100)]


class Pulse:
    """The newest event's id, asked of the database every LOOK_SECONDS at most, however many follow.

    Attributes:
        ended: whether streams should end, because the server stops.
    """

    def __init__(self, registry: EmbeddedRegistry) -> None:
        self.ended = False
        self._registry = registry
        self._lock = asyncio.Lock()
        self._looked = float("-inf")
        self._last = 0

    async def last_id(self) -> int:
        """As new as LOOK_SECONDS before this call."""
        async with self._lock:
            if time.monotonic() - self._looked >= LOOK_SECONDS:
                self._last = await run_in_threadpool(self._registry.events.last_id)
                self._looked = time.monotonic()
        return self._last


async def _pulse(request: Request) -> Pulse:
    pulse: Pulse = request.app.state.pulse
    return pulse


class Page(BaseModel):
    """Events, and the id of the newest one that there is, whoever may see it."""

    events: list[Event]
    last_id: int


@router.get("/events/after")
def after(
    caller: Reader,
    registry: Kept,
    id: EventId = 0,  # noqa: A002 - it is the event's id
    limit: Annotated[int, Query(ge=0, le=PAGE)] = PAGE,
    kind: Kinds = [],  # noqa: B006 - FastAPI copies it
    name: Names = [],  # noqa: B006 - FastAPI copies it
) -> Page:
    """The events that followed this id, oldest first; with the limit 0 only the newest id."""
    last_id = registry.events.last_id()  # before the events: what comes between is not passed over
    told: list[Event] = []
    query = {"kinds": valid_kinds(kind), "names": name, "within": _within(caller)}
    while len(told) < limit and (page := registry.events.after(id, PAGE, **query)):
        told += [event for event in page if _may_hear(caller, event)]
        id = page[-1].id  # noqa: A001 - as above
    return Page(events=told[:limit], last_id=last_id)


@router.get("/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def stream(
    caller: Reader,
    registry: Kept,
    pulse: Annotated[Pulse, Depends(_pulse)],
    after: EventId | None = None,
    last_event_id: Annotated[EventId | None, Header()] = None,
    kind: Kinds = [],  # noqa: B006 - FastAPI copies it
    name: Names = [],  # noqa: B006 - FastAPI copies it
) -> StreamingResponse:
    """Server-sent events from now on, or from after the id in Last-Event-ID or ``after``.

    Each has the event's id and, as data, its JSON. Every five seconds an id comes without data.
    """
    begin = last_event_id if last_event_id is not None else after
    seen = begin if begin is not None else await run_in_threadpool(registry.events.last_id)
    lines = _lines(registry, pulse, caller, seen, valid_kinds(kind), name)
    return StreamingResponse(lines, 200, {"cache-control": "no-store", "x-accel-buffering": "no"}, "text/event-stream")


async def _lines(
    registry: EmbeddedRegistry, pulse: Pulse, caller: Caller, seen: int, kinds: Sequence[str], names: Sequence[str]
) -> AsyncIterator[str]:
    yield f"retry: {RETRY_MILLISECONDS}\nid: {seen}\n\n"  # an id without data: where to go on from
    query = {"kinds": kinds, "names": names, "within": _within(caller)}
    beat = time.monotonic()
    try:
        while not pulse.ended:
            if seen < (last := await pulse.last_id()):
                page = await run_in_threadpool(registry.events.after, seen, PAGE, **query)
                for event in page:
                    if _may_hear(caller, event):
                        yield f"id: {event.id}\ndata: {json.dumps(event.to_json())}\n\n"
                seen = page[-1].id if len(page) == PAGE else max(seen, last, *(event.id for event in page))
            if time.monotonic() - beat >= HEARTBEAT_SECONDS:
                if not await run_in_threadpool(_still_may_hear, registry, caller):
                    return
                yield f"id: {seen}\n\n"
                beat = time.monotonic()
            await asyncio.sleep(LOOK_SECONDS)
    except AdaptoryError:
        return  # the database is away: the client comes back, and goes on where it was


def _still_may_hear(registry: EmbeddedRegistry, caller: Caller) -> bool:
    key = registry.keys.get(caller.key.id) if caller.key else None
    return caller.key is None or (key is not None and key.usable(now()))


def _within(caller: Caller) -> Sequence[str]:
    """The patterns of what the caller may hear of, so that the database passes over the rest; none where it is more.

    With ``admin`` it is more: a key's name, which events of keys have as their subject, need not fit them.
    """
    return () if caller.key is None or caller.allows("admin") else caller.key.adapters


def _may_hear(caller: Caller, event: Event) -> bool:
    """Keys concern those who manage them; everything else those who may name what it is about."""
    if event.kind == "key":
        return caller.allows("admin")
    return caller.may_name(event.subject)
