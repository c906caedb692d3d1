"""Events of a registry behind a server: streamed, gone on with after a cut, and asked for while there is no stream."""

import json
import logging
import random
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from registry.errors import AdaptoryError, Unavailable
from registry.event import Event
from registry.remote.connection import Connection

log = logging.getLogger(__name__)

PAGE = 500
SILENCE_SECONDS = 15.0
"""The server says something every five; a stream that is silent for so long is cut."""

PAUSES = (0.25, 0.5, 1.0, 2.0, 5.0)
"""Seconds between attempts to have a stream again; the last stays."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events, and the id of the newest one that there is."""

    events: list[Event]
    last_id: int


class Events:
    """Reads the outbox through a server; fills ``registry.rooms.Events``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._heard: int | None = None  # the newest id, while a stream says so
        self._closed = threading.Event()
        self._starting = threading.Lock()
        self._listener: threading.Thread | None = None

    def after(
        self,
        id: int,  # noqa: A002 - it is the event's id
        limit: int = PAGE,
        *,
        kinds: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> Sequence[Event]:
        """The events that followed the one with this id, oldest first, 500 at most."""
        return self._page(id, min(limit, PAGE), kinds, names).events

    def last_id(self, *, fresh: bool = False) -> int:
        """Id of the newest event, 0 where there is none.

        The first call opens a stream, in a thread of its own. Later ones answer from what it said, which is a fraction
        of a second old; they ask the server where they should be ``fresh``, and while the stream is cut.
        """
        self._listen()
        heard = self._heard
        return self._page(0, 0).last_id if heard is None or fresh else heard

    def follow(self, after: int, *, kinds: Sequence[str] = (), names: Sequence[str] = ()) -> Iterator[Event]:
        """Every event that follows, as it happens, until the caller stops; a server that is away is waited for."""
        failures = 0
        while True:
            try:
                for id_, event in self._stream(after, kinds, names):
                    after, failures = id_, 0
                    if event:
                        yield event
                for event in self.after(after, kinds=kinds, names=names):  # also where no stream comes through
                    yield event
                    after = event.id
            except Unavailable as error:
                if failures == 0:
                    log.warning("%s Trying again.", error.message)
            _pause(failures, time.sleep)
            failures += 1

    def close(self) -> None:
        """End the stream; its thread ends when the connection is closed, or within seconds."""
        self._closed.set()

    def _page(self, after: int, limit: int, kinds: Sequence[str] = (), names: Sequence[str] = ()) -> Page:
        params = {"id": after, "limit": limit, "kind": list(kinds), "name": list(names)}
        page: Page = self._connection.ask(Page, "GET", "/events/after", params=params)
        return page

    def _stream(
        self, after: int | None, kinds: Sequence[str] = (), names: Sequence[str] = ()
    ) -> Iterator[tuple[int, Event | None]]:
        """Ids and their events until the stream ends; Unavailable where it is cut."""
        headers = {"accept": "text/event-stream"} | ({} if after is None else {"last-event-id": str(after)})
        params: dict[str, Any] = {"kind": list(kinds), "name": list(names)}
        with self._connection.stream("/events", headers=headers, silence=SILENCE_SECONDS, **params) as response:
            try:
                yield from parsed(response.iter_lines())
            except (ValueError, KeyError, TypeError) as error:
                raise Unavailable(f"{self._connection.url}/events is no stream of events ({error}).") from error

    def _listen(self) -> None:
        with self._starting:
            if self._listener is None:
                self._listener = threading.Thread(target=self._hear, name="registry-events", daemon=True)
                self._listener.start()

    def _hear(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                for id_, _ in self._stream(None):
                    self._heard, failures = id_, 0
                    if self._closed.is_set():
                        return
            except AdaptoryError as error:
                log.debug("No stream of events: %s", error)
            except RuntimeError:  # httpx: the connection was closed
                return
            finally:
                self._heard = None
            _pause(failures, self._closed.wait)
            failures += 1


def parsed(lines: Iterable[str]) -> Iterator[tuple[int, Event | None]]:
    """Read server-sent events as our server writes them: an id with each, and an event or nothing.

    Args:
        lines: without their ends; what follows the last empty line was cut off and is passed over.
    """
    id_, data = 0, ""
    for line in lines:
        name, _, value = line.partition(": ")
        if name == "id":
            id_ = int(value)
        elif name == "data":
            data += value
        elif not line:
            yield id_, Event.from_json(json.loads(data)) if data else None
            data = ""


def _pause(failures: int, sleep: Any) -> None:
    longest = PAUSES[min(failures, len(PAUSES) - 1)]
    sleep(longest * random.uniform(0.5, 1.0))  # noqa: S311 - spreads servers that lost their stream together
