"""The desk: all that a server does about releases, between the gateway and the registry."""

import asyncio
import logging
import uuid
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from registry.errors import NotFound
from registry.release import Release
from registry.release_room import Releases
from registry.tally import Tally
from registry.times import now
from registry.version import AdapterVersion
from serve.catalogue import Catalogue, Target
from serve.own_thread import in_own_thread
from serve.release.ledger import Ledger, Observed
from serve.release.router import Route, Router
from serve.release.said import COMPARED, Transcript, demands_json
from serve.release.shadow import MOST_BYTES, Copy, GiveTurn, Shadow
from serve.turns.demand import Demand
from serve.watching.access_log import Entry

log = logging.getLogger(__name__)

REPORT_SECONDS = 1.0
MOST_TRANSCRIPTS = 64
"""Answers that are kept to be read at any moment, MOST_BYTES each; of others only time and success are counted."""

MOST_OBSERVED = 20_000
EVERY = 8
"""Of answers under an alias without a release, one in so many is read, to know what was usual before the next one."""

DEADLINE = 504


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that is being answered, as the desk sees it.

    Attributes:
        route: where it went.
        path: the endpoint.
        document: of the request.
        size: bytes of it.
        demand: what it takes of the engine.
        transcript: of the answer, where it is to be read.
    """

    route: Route
    path: str
    document: Mapping[str, Any]
    size: int
    demand: Demand
    transcript: Transcript | None


@dataclass(frozen=True, slots=True)
class Batch:
    """What is told of a release at once, and again under the same id until the registry has acknowledged it."""

    counted: Mapping[str, Tally]
    texts: Sequence[Mapping[str, str]]
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class Desk:
    """Routes requests of aliases, counts what became of them, and tells the registry, which decides."""

    def __init__(
        self,
        catalogue: Catalogue,
        releases: Releases,
        *,
        prepare: Callable[[AdapterVersion, AdapterVersion | None], Awaitable[None]],
        turn: GiveTurn,
        idle: Callable[[], bool],
    ) -> None:
        self.router = Router(catalogue, prepare)
        self.ledger = Ledger()
        self.shadow = Shadow(turn, idle, self.ledger.add)
        self._catalogue = catalogue
        self._releases = releases
        self._observed: deque[tuple[Observed, Transcript | None]] = deque(maxlen=MOST_OBSERVED)
        self._transcripts: weakref.WeakSet[Transcript] = weakref.WeakSet()
        self._unheard: dict[str, Batch] = {}
        self._count = 0
        self._away = False
        catalogue.on_releases = self._look

    def route(self, model: str, target: Target, who: str) -> Route:
        """Which version answers (see ``Router.route``)."""
        return self.router.route(model, target, who)

    def asks(self, route: Route, path: str, document: Mapping[str, Any], size: int, demand: Demand) -> Asked | None:
        """A request goes to the engine; None where no alias was named, and nothing is to be counted."""
        if route.alias is None:
            return None
        self._count += 1
        wanted = path in COMPARED and (route.release is not None or self._count % EVERY == 0)
        transcript = None
        if wanted and len(self._transcripts) < MOST_TRANSCRIPTS:
            transcript = Transcript(path, demands_json(document))
            self._transcripts.add(transcript)
        return Asked(route, path, document, size, demand, transcript)

    def fell_back(self, asked: Asked) -> Asked:
        """The candidate has failed, and the current version is asked in its stead: the candidate's failure counts."""
        self._observe(asked, failed=True, first=None, seconds=0.0)
        return replace(asked, route=asked.route.fallen_back())

    def ended(self, asked: Asked, entry: Entry, *, first: float | None, seconds: float) -> None:
        """It was answered, or not; what is the client's doing is not counted.

        Args:
            asked: what.
            entry: how it ended.
            first: seconds in the engine to the first bytes of the answer, or None.
            seconds: in the engine, neither waiting for a turn, nor loading, nor the client's reading.
        """
        failed = entry.status >= 500 and entry.status != DEADLINE
        if not (failed or entry.status == 200):
            return
        self._observe(asked, failed=failed, first=first if entry.stream else None, seconds=seconds)
        if not failed:
            self._copy(asked, seconds)

    async def run(self) -> None:
        """Count, report and ask copies until cancelled; what was counted since the last report is lost then."""
        shadow = asyncio.create_task(self.shadow.run())
        try:
            while True:
                await asyncio.sleep(REPORT_SECONDS)
                await self.report()
        finally:
            shadow.cancel()

    async def report(self) -> None:
        """Count what was observed, and tell the registry of every release."""
        waiting, self._observed = self._observed, deque(maxlen=MOST_OBSERVED)
        for seen in await asyncio.to_thread(_read, waiting):
            self.ledger.observe(seen)
        for release in self.router.running():
            await self._tell(release)

    def moment(self) -> Sequence[tuple[Release, bool, Mapping[str, Tally]]]:
        """Releases under way, whether their candidate is ready here, and what this server has counted."""
        return [
            (release, release.id in self.router.ready, self.ledger.totals.get(release.id, {}))
            for release in self.router.running()
        ]

    def _observe(self, asked: Asked, *, failed: bool, first: float | None, seconds: float) -> None:
        route, transcript = asked.route, asked.transcript
        assert route.alias  # noqa: S101 - else nothing is asked
        seen = Observed(
            alias=route.alias,
            digest=route.target.digest,
            release=route.release.id if route.release else "",
            arm=route.arm,
            failed=failed,
            first=first,
            seconds=seconds,
            said=None,
            asked=bool(transcript and transcript.asked),
        )
        self._observed.append((seen, None if failed else transcript))

    def _copy(self, asked: Asked, seconds: float) -> None:
        """Have the candidate asked the same, if it is to be and can be compared."""
        release, transcript = asked.route.release, asked.transcript
        if not (asked.route.copied and release and transcript) or asked.size > MOST_BYTES:
            return
        if candidate := self.router.candidate(release):
            self.shadow.want(Copy(release, candidate, asked.path, asked.document, asked.demand, transcript, seconds))

    def _look(self) -> None:
        """The catalogue's releases may be others than before."""
        self.router.look()
        running = self.router.running()
        for release in running:
            self.ledger.begin(release)
        for over in self.ledger.totals.keys() - {release.id for release in running}:
            self.ledger.end(over)
            self.shadow.texts.pop(over, None)
            self._unheard.pop(over, None)

    async def _tell(self, release: Release) -> None:
        told = self._unheard.pop(release.id, None)
        told = told or Batch(self.ledger.take(release.id), self.shadow.texts.pop(release.id, []))
        failure = self.router.failures.get(release.id, "")
        if not (told.counted or told.texts or failure or release.due(now())):
            return
        tell = partial(self._releases.report, release.id, told.counted, texts=told.texts, failure=failure)
        try:
            after = await in_own_thread(tell, batch=told.id)
        except NotFound:
            return
        except Exception as error:  # noqa: BLE001 - whatever a registry does, the server goes on
            if not self._away:
                log.warning("The registry does not hear of %s, keeping what was counted: %s", release, error)
            self._away = True
            if release.id in self.ledger.totals:  # else it has ended meanwhile
                self._unheard[release.id] = told
            return
        self._away = False
        if not after.running:
            log.warning("%s: %s. %s", after, after.state, after.verdict)
            await self._catalogue.look()  # not a request more than can be helped


def _read(waiting: deque[tuple[Observed, Transcript | None]]) -> list[Observed]:
    return [_with(seen, transcript) for seen, transcript in waiting]


def _with(seen: Observed, transcript: Transcript | None) -> Observed:
    return replace(seen, said=transcript.read()) if transcript and not seen.failed else seen
