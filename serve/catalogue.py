"""The catalogue: what a model string means here, from a copy of the registry that follows its events."""

import asyncio
import difflib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from registry.alias import Alias
from registry.base_model import BaseModel
from registry.errors import AdaptoryError, InvalidReference, NotFound
from registry.refs import DEFAULT_ALIAS, AdapterRef, shown
from registry.release import Release
from registry.store import Registry
from registry.version import AdapterVersion
from serve.changes import Changes
from serve.own_thread import in_own_thread

log = logging.getLogger(__name__)

POLL_SECONDS = 0.25
SHORTEST_SECONDS = 0.05
"""Between two looks at the registry, however many requests name what is not here."""

LOOK_SECONDS = 2.0
"""That a request waits; a registry that hangs would keep it for minutes."""

AWAY = " The registry does not answer: what was pushed or moved meanwhile is not known here."
NAMED_IN_ERRORS = 8
COMPARED_NAMES = 100
MODEL_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Target:
    """What answers a request.

    Attributes:
        version: the adapter's version, or None for the base alone.
        digest: the version's digest or the base's fingerprint.
    """

    version: AdapterVersion | None
    digest: str


class Catalogue:
    """Versions and aliases in memory; it grows with the registry and with nothing else.

    An alias means ``serving[name, alias]``, which moves only through ``flip``: the registry's aliases are what should
    be served, and the two differ while a new version is made ready, or when it cannot be served. ``on_moved`` hears of
    each such difference.

    Attributes:
        serving: what each alias answers with.
        aliases: what each alias should answer with.
        on_moved: hears of each alias that should answer with another version than it does, at each look, and of each
            that is new.
        releases: those that are under way, by name and alias; also of other bases.
        on_releases: called when they may have changed.
        deprecated: (name, number) -> why that version should no longer be used; it is served all the same.
        on_set: hears of each promotion and rollback, also of one to the version that answers already, before
            ``on_moved``; and of every alias when the server starts.
        on_pushed: hears of each version for this base that was pushed since the server started.
        revision: grows whenever an alias's state changes here.
        stale: why the registry does not answer, or an empty string.
    """

    def __init__(self, registry: Registry, base: BaseModel) -> None:
        self.base = base
        self.on_moved: Callable[[str, str, AdapterVersion], None] = lambda *_: None
        self.on_set: Callable[[str, str, AdapterVersion], None] = lambda *_: None
        self.on_pushed: Callable[[AdapterVersion], None] = lambda _: None
        self.serving: dict[tuple[str, str], AdapterVersion] = {}
        self.aliases: dict[tuple[str, str], Alias] = {}
        self.releases: dict[tuple[str, str], Release] = {}
        self.on_releases: Callable[[], None] = lambda: None
        self.deprecated: dict[tuple[str, int], str] = {}
        self.revision = 0
        self.stale = ""
        self._registry = registry
        self._versions: dict[str, dict[int, AdapterVersion]] = {}
        self._seen: int | None = None
        self._wake = asyncio.Event()
        self._looked = asyncio.Condition()
        self._looks_begun = 0
        self._looks_done = 0

    @property
    def names(self) -> list[str]:
        """Adapters with a version for this base."""
        return sorted(name for name, versions in self._versions.items() if any(map(self.fits, versions.values())))

    def versions(self) -> list[AdapterVersion]:
        """Every version that can be named here, by name and number."""
        return [
            version
            for _, versions in sorted(self._versions.items())
            for _, version in sorted(versions.items())
            if self.fits(version)
        ]

    def find(self, model: str) -> Target:
        """What a model string means.

        Raises:
            NotFound: nothing that is served here has this name; the message says what has.
        """
        if model == self.base.name:
            return Target(None, self.base.fingerprint)
        version = self._version(model)
        if version is None:
            raise NotFound(f"The model {shown(model)} does not exist. {self._known(model)}{AWAY if self.stale else ''}")
        if not self.fits(version):
            raise NotFound(
                f"{version} is an adapter of the base {version.manifest.base_name}; this server serves "
                f"{self.base.name} ({self.base.fingerprint[:19]}…)."
            )
        return Target(version, version.digest)

    async def resolve(self, model: str) -> Target:
        """``find``, with one look at the registry where the name is not here yet, shared by all who wait for it.

        Nobody waits for a registry that is away; one that takes longer than LOOK_SECONDS is away until it answers.

        Raises:
            NotFound: as ``find``.
        """
        try:
            return self.find(model)
        except NotFound:
            if self.stale or len(model) > MODEL_LENGTH or not _well_formed(model):
                raise
        try:
            async with asyncio.timeout(LOOK_SECONDS):
                await self.look()
        except TimeoutError:
            self._is_away(f"it has said nothing for {LOOK_SECONDS:g} s")
        return self.find(model)

    async def look(self) -> None:
        """Wait until the copy is as new as this call; at most one look each SHORTEST_SECONDS is made."""
        wanted = self._looks_begun + 1
        self._wake.set()
        async with self._looked:
            await self._looked.wait_for(lambda: self._looks_done >= wanted)

    async def follow(self) -> None:
        """Keep the copy up to date until cancelled; the registry may go away and come back."""
        while True:
            asked = self._wake.is_set()
            self._wake.clear()
            self._looks_begun += 1
            begun = self._looks_begun
            try:
                self.merge(await in_own_thread(self.read, fresh=asked))
                self.stale = ""
            except Exception as error:  # noqa: BLE001 - whatever a registry does, the server serves what it has
                self._is_away(str(error) or type(error).__name__)
            async with self._looked:
                self._looks_done = begun
                self._looked.notify_all()
            await asyncio.sleep(SHORTEST_SECONDS)
            try:
                await asyncio.wait_for(self._wake.wait(), POLL_SECONDS - SHORTEST_SECONDS)
            except TimeoutError:
                continue

    def _is_away(self, why: str) -> None:
        if not self.stale:
            log.warning("The registry does not answer, serving what is known: %s", why)
        self.stale = why

    def read(self, *, fresh: bool = True) -> Changes:
        """What changed in the registry since the last ``merge``; everything at first. Blocks.

        Without ``fresh``, what a registry behind a server has heard by itself is new enough.
        """
        last = self._registry.events.last_id(fresh=fresh)
        if self._seen is None:
            return self._read([None], last, released=True)
        names: set[str] = set()
        released = False
        seen = self._seen
        while seen < last and (events := self._registry.events.after(seen)):
            names |= {event.subject for event in events if event.kind in {"version", "alias", "mark", "deletion"}}
            released |= any(event.kind == "release" for event in events)
            seen = events[-1].id
        return self._read(sorted(names), max(seen, last), released=released)

    def merge(self, changes: Changes) -> None:
        """Take over what ``read`` found; called where requests are answered, so that they see all of it or nothing."""
        first, self._seen = self._seen is None, changes.seen
        for version in changes.versions:
            known = self._versions.setdefault(version.name, {})
            if version.number not in known:
                known[version.number] = version
                if not first and self.fits(version):
                    self.on_pushed(version)
        for alias in changes.aliases:
            if self.aliases.get((alias.name, alias.alias)) != alias:
                self._set(alias)
        for (name, at), alias in self.aliases.items():
            self._compare(name, at, self._versions[name][alias.number], first=first)
        self._forget(changes)
        if changes.releases is not None:
            self.releases = {(release.name, release.alias): release for release in changes.releases}
            self.on_releases()

    def _forget(self, changes: Changes) -> None:
        """Let go of marks that were taken back and of versions that were deleted, unless an alias still means them."""
        read = {version.name for version in changes.versions} | {name for name, _ in changes.gone}
        kept = {key: reason for key, reason in self.deprecated.items() if key[0] not in read}
        self.deprecated = kept | changes.deprecated
        needed = {(name, alias.number) for (name, _), alias in self.aliases.items()}
        needed |= {(version.name, version.number) for version in self.serving.values()}
        for name, number in changes.gone - needed:
            self._versions.get(name, {}).pop(number, None)

    def flip(self, name: str, alias: str, version: AdapterVersion) -> None:
        """From now on the alias answers with this version."""
        self.serving[name, alias] = version
        self.revision += 1

    def wanted(self, name: str, alias: str) -> AdapterVersion | None:
        """Where the registry's alias points."""
        moved = self.aliases.get((name, alias))
        return self._versions[name][moved.number] if moved else None

    def fits(self, version: AdapterVersion) -> bool:
        """Whether it is an adapter of the base that is served here."""
        return version.manifest.base_fingerprint == self.base.fingerprint

    def _compare(self, name: str, at: str, version: AdapterVersion, *, first: bool) -> None:
        """What an alias should answer with, beside what it does."""
        current = self.serving.get((name, at))
        if current is None:
            self.flip(name, at, version)  # nothing served under this name before
            if not first and self.fits(version):
                self.on_moved(name, at, version)  # nobody knows yet whether it can be served
        elif current.digest != version.digest:
            self.on_moved(name, at, version)

    def _set(self, alias: Alias) -> None:
        self.aliases[alias.name, alias.alias] = alias
        self.revision += 1
        version = self._versions[alias.name][alias.number]
        if self.fits(version):
            self.on_set(alias.name, alias.alias, version)

    def _read(self, names: Sequence[str | None], seen: int, *, released: bool) -> Changes:
        # These first: the versions they point to are then certain to be among those read after them.
        releases = [*self._registry.releases.list(running=True)] if released else None
        aliases = [alias for name in names for alias in self._registry.aliases.list(name)]
        versions = [version for name in names for version in self._registry.versions.list(name)]
        marks = [mark for name in names for mark in self._registry.marks.deprecations(name)]
        gone = {(one.name, one.number) for name in names for one in self._registry.deletions.list(name)}
        deprecated = {(mark.name, mark.number): mark.reason for mark in marks}
        return Changes(versions, aliases, releases, deprecated, gone, seen)

    def _version(self, model: str) -> AdapterVersion | None:
        try:
            ref = AdapterRef.parse(model)
        except InvalidReference:
            return None
        if ref.alias:
            return self.serving.get((ref.name, ref.alias))
        versions = self._versions.get(ref.name, {})
        if ref.version:
            return versions.get(ref.version)
        matching = [version for version in versions.values() if version.digest.startswith(ref.digest or "-")]
        return matching[0] if len({version.digest for version in matching}) == 1 else None

    def _known(self, model: str) -> str:
        """What can be named, nearest first, bounded in length and in work."""
        name = model[:MODEL_LENGTH].partition("@")[0].partition(":")[0]
        if versions := [version for version in self._versions.get(name, {}).values() if self.fits(version)]:
            aliases = sorted(f"{name}@{alias}" for (owner, alias) in self.serving if owner == name)
            newest = [str(version) for version in sorted(versions, key=lambda version: -version.number)]
            missing = "" if f"{name}@{DEFAULT_ALIAS}" in aliases or model != name else "It has no alias prod yet. "
            return f"{missing}There is {', '.join((aliases + newest)[:NAMED_IN_ERRORS])}."
        names = self.names
        near = difflib.get_close_matches(name[:80], names[:COMPARED_NAMES], NAMED_IN_ERRORS, 0.5)
        listed = list(dict.fromkeys([*near, self.base.name, *names]))[:NAMED_IN_ERRORS]
        more = len(names) + 1 - len(listed)
        return f"There is {', '.join(listed)}{f' and {more} more' if more > 0 else ''}."


def _well_formed(model: str) -> bool:
    try:
        AdapterRef.parse(model)
    except AdaptoryError:
        return False
    return True
