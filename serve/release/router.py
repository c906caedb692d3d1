"""Router: which version answers a request while a release is under way."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from registry.errors import AdaptoryError, InvalidReference, NotFound, Unavailable
from registry.refs import AdapterRef
from registry.release import CANARY, SHADOW, Release
from registry.tally import CANDIDATE, CURRENT
from registry.version import AdapterVersion
from serve.catalogue import Catalogue, Target
from serve.errors import AdapterRefused
from serve.release.share import share

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Route:
    """Where a request goes.

    Attributes:
        target: what answers.
        alias: the adapter's name and the alias that it asked for, or None where it named a version or the base.
        release: the one that is under way for the alias, or None.
        spare: what answers if the target fails before its first byte, where that is a candidate.
        copied: whether the candidate is to be asked a copy.
    """

    target: Target
    alias: tuple[str, str] | None = None
    release: Release | None = None
    spare: Target | None = None
    copied: bool = False

    @property
    def arm(self) -> str | None:
        """What the target is to the release: ``current``, ``candidate``, or neither."""
        if self.release is None:
            return None
        arms = {self.release.current_digest: CURRENT, self.release.candidate_digest: CANDIDATE}
        return arms.get(self.target.digest)

    def fallen_back(self) -> "Route":
        """The same, after the candidate has failed."""
        return replace(self, target=self.spare or self.target, spare=None)


class Router:
    """Prepares candidates, one task for each release, and gives them their share of the requests.

    A candidate is asked only once it has been loaded and probed, as in a swap. One that cannot be served fails its
    release: ``failures`` has why, by the release's id. That is for an engine to say that loaded or probed it; what a
    server lacks itself (a higher rank, a GGUF) only keeps the candidate from being asked there. The old version is
    never touched.
    """

    def __init__(
        self, catalogue: Catalogue, prepare: Callable[[AdapterVersion, AdapterVersion | None], Awaitable[None]]
    ) -> None:
        self.failures: dict[str, str] = {}
        self.ready: set[str] = set()
        self._catalogue = catalogue
        self._prepare = prepare
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def running(self) -> list[Release]:
        """Those whose versions are for the base that is served here."""
        return [release for release in self._catalogue.releases.values() if self.candidate(release)]

    def look(self) -> None:
        """Begin to prepare what is new, and forget what has ended."""
        running = {release.id: release for release in self.running()}
        for ended in self._tasks.keys() - running.keys():
            self._tasks.pop(ended).cancel()
            self.failures.pop(ended, None)
            self.ready.discard(ended)
        for id_, release in running.items():
            if id_ not in self._tasks:
                self._tasks[id_] = asyncio.create_task(self._make_ready(release))

    def route(self, model: str, target: Target, who: str) -> Route:
        """Which version answers.

        Args:
            model: as the client named it.
            target: what that means without a release.
            who: the user or session, or an empty string.
        """
        alias = _alias(model) if target.version else None
        release = self._catalogue.releases.get(alias) if alias else None
        if release is None:
            return Route(target, alias)
        chosen = release.id in self.ready and share(release.id, who) < release.plan.weight
        if not chosen or target.digest != release.current_digest:
            return Route(target, alias, release)
        if release.plan.kind == SHADOW:
            return Route(target, alias, release, copied=True)
        candidate = self.candidate(release)
        if release.plan.kind != CANARY or candidate is None:
            return Route(target, alias, release)
        return Route(candidate, alias, release, spare=target)

    def candidate(self, release: Release) -> Target | None:
        """What is to follow, or None where it is for another base than is served here."""
        try:
            return self._catalogue.find(f"{release.name}:{release.candidate}")
        except NotFound:
            return None

    async def _make_ready(self, release: Release) -> None:
        candidate = self.candidate(release)
        assert candidate  # noqa: S101 - it is one of those that run here
        assert candidate.version  # noqa: S101 - it has a number
        current = self._catalogue.serving.get((release.name, release.alias))
        while True:
            try:
                await self._prepare(candidate.version, current)
            except Unavailable as error:
                log.info("%s is not ready yet: %s", candidate.version, error.message)
                await asyncio.sleep(RETRY_SECONDS)
            except AdapterRefused as error:
                self.failures[release.id] = f"{candidate.version} cannot be served: {error.message}"
                log.warning("%s@%s: %s", release.name, release.alias, self.failures[release.id])
                return
            except AdaptoryError as error:
                log.warning("%s is not asked here: %s", candidate.version, error.message)
                return
            else:
                self.ready.add(release.id)
                log.info("%s is ready for its release.", candidate.version)
                return


def _alias(model: str) -> tuple[str, str] | None:
    try:
        ref = AdapterRef.parse(model)
    except InvalidReference:
        return None
    return (ref.name, ref.alias) if ref.alias else None
