"""Fleet: the engines of this server, and which of them a request goes to."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial

from registry.errors import AdaptoryError
from registry.version import AdapterVersion
from serve.errors import DeadlinePassed, EngineAway, EngineLost
from serve.place import Place, Turn
from serve.suspects import Suspects
from serve.turns.affinity import by_affinity, first_with_room
from serve.turns.asker import Asker
from serve.turns.demand import LITTLE, Demand
from serve.watching.access_log import Entry


class Fleet:
    """Engines of one kind, each with a place of its own; ``serve/turns/affinity.py`` says who goes where.

    An engine that is away is passed over. When one goes away, who waited there waits elsewhere; who was being computed
    gets an error, since the request, or the adapter that it was about to have loaded, may be what ended the engine;
    such an adapter is tried once more, in the same engine (``Suspects``). An engine that comes back first loads what it
    had and what others have loaded in its stead, then takes its adapters back.

    What holds over all. The bound of ``slots.py`` holds in each engine, with what waits there, from the moment when a
    request joins its last one; a request joins another at most once for each end of an engine. Tokens are counted in
    each engine for itself: keys are served by their weights among those who wait in the same engine, and how unequal
    engines can be is bounded by ``affinity.py``.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = places
        self._suspects = Suspects()
        for place in places:
            place.missing = partial(self._elsewhere, place)
            place.watched = partial(self._watched, place)

    @property
    def ready(self) -> bool:
        """Whether any engine answers."""
        return any(place.ready for place in self.places)

    @property
    def paths(self) -> set[str]:
        """The engines' routes."""
        return next((place.paths for place in self.places if place.paths), set())

    @property
    def doing(self) -> str:
        """What the engines that are not ready are doing."""
        if len(self.places) == 1:
            return self.places[0].supervisor.doing
        ready = sum(place.ready for place in self.places)
        doing = sorted({place.supervisor.doing for place in self.places if not place.ready})
        return f"{ready} of {len(self.places)} ready" + (f", {' and '.join(doing)}" if doing else "")

    def idle(self) -> bool:
        """Whether an engine answers, and nobody waits for one."""
        return self.ready and not any(place.load.waiting for place in self.places)

    def holders(self, digest: str) -> list[Place]:
        """Those that have it loaded."""
        return [place for place in self.places if digest in place.residency]

    def home(self, digest: str) -> Place:
        """Where an adapter is sent while there is room."""
        return self._in_order(digest)[0]

    def choose(self, digest: str | None) -> Place:
        """Where the next request for an adapter, or for the base, is sent.

        Raises:
            EngineAway: no engine answers.
        """
        only = None if digest is None else self._suspects.engine(digest)
        if not self.ready or (only is not None and not self.places[only].ready):
            raise EngineAway("The engine is starting or was restarted.", "Try again in a few seconds.")
        if digest is None:
            return min(self._usable(), key=lambda place: place.load.inside)
        if only is not None:
            return self.places[only]
        order = self._in_order(digest)
        return order[first_with_room([place.load for place in order])]

    @contextlib.asynccontextmanager
    async def turn(
        self, version: AdapterVersion | None, asker: Asker, entry: Entry, demand: Demand = LITTLE
    ) -> AsyncIterator[Turn]:
        """Wait until an engine may be asked, and keep the adapter there inside the context.

        Raises:
            DeadlinePassed: the asker's, before the adapter was there.
            AdaptoryError: it cannot be served, now or ever; see ``Place.turn``.
        """
        seconds = None if asker.deadline is None else asker.deadline - time.monotonic()
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(seconds) as limit:
                    turn = await self._enter(stack, version, asker, entry, demand)
            except TimeoutError:
                if limit.expired():
                    raise DeadlinePassed("The request waited until its deadline.", "Try again later.") from None
                raise
            yield turn

    async def _enter(
        self,
        stack: contextlib.AsyncExitStack,
        version: AdapterVersion | None,
        asker: Asker,
        entry: Entry,
        demand: Demand,
    ) -> Turn:
        """Enter a turn, in another engine where the one that was chosen goes away."""
        digest = version.digest if version else None
        while True:
            place = self.choose(digest)
            if version:
                await place.residency.fetch(version)  # before a slot is taken: other adapters compute meanwhile
                place = self.choose(digest)
            try:
                return await stack.enter_async_context(place.turn(version, asker, entry, demand))
            except EngineLost:
                raise
            except EngineAway:
                if place.ready:  # it is something else
                    raise

    async def prepare(self, version: AdapterVersion, instead_of: AdapterVersion | None = None) -> None:
        """Have a version ready where it will be asked for: at its home, and wherever another one is that it follows.

        Raises:
            AdaptoryError: it cannot be served, now or ever; the message names the engine where there are several.
        """
        first = self.choose(version.digest)  # an engine at all
        if self._suspects.engine(version.digest) is not None:
            await self._prepare(first, version)
        places = {self.home(version.digest), *(self.holders(instead_of.digest) if instead_of else ())}
        await asyncio.gather(*(self._prepare(place, version) for place in places))

    async def _prepare(self, place: Place, version: AdapterVersion) -> None:
        try:
            await place.prepare(version)
        except AdaptoryError as error:
            if len(self.places) == 1:
                raise
            raise type(error)(f"Engine {place.number}: {error.message}", error.hint) from error

    def _watched(self, place: Place, version: AdapterVersion) -> contextlib.AbstractContextManager[None]:
        return self._suspects.watched(version, place.number, place.supervisor.restarts)

    def pin(self, digests: frozenset[str]) -> None:
        """Keep these loaded, each at its home."""
        for place in self.places:
            place.residency.pinned = frozenset(digest for digest in digests if self.home(digest) is place)

    async def run(self, ready: asyncio.Event) -> None:
        """Keep the engines running until cancelled; ``ready`` is set when each has been ready once.

        Raises:
            EngineFailed: the very first start of one failed.
        """
        started = [asyncio.Event() for _ in self.places]
        runs = [
            asyncio.create_task(place.supervisor.run(event)) for place, event in zip(self.places, started, strict=True)
        ]
        waiting = asyncio.create_task(_all(started, ready))
        try:
            await asyncio.gather(*runs)
        finally:
            for task in (waiting, *runs):
                task.cancel()
            await asyncio.gather(waiting, *runs, return_exceptions=True)

    def _usable(self) -> Sequence[Place]:
        """Those to be asked: ready and warm, or else ready, or else all."""
        ready = [place for place in self.places if place.ready]
        return [place for place in ready if place.warm] or ready or self.places

    def _in_order(self, digest: str) -> list[Place]:
        usable = {place.number: place for place in self._usable()}
        return [usable[number] for number in by_affinity(digest, usable)]

    def _elsewhere(self, returning: Place) -> list[AdapterVersion]:
        """What others have loaded and a place that comes back will be asked for."""
        numbers = {returning.number, *(place.number for place in self._usable())}
        others = [version for place in self.places if place is not returning for version in place.residency.versions]
        return [
            version
            for version in {version.digest: version for version in reversed(others)}.values()
            if by_affinity(version.digest, numbers)[0] == returning.number
        ]


async def _all(events: Sequence[asyncio.Event], ready: asyncio.Event) -> None:
    for event in events:
        await event.wait()
    ready.set()
