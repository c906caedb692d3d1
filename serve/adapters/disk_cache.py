"""The disk cache: pulled adapters on this machine's disk, never more than a limit but for what is in use."""

import asyncio
import contextlib
import errno
import logging
import os
import re
import shutil
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from registry.errors import Corrupted, Unavailable
from registry.files import FileEntry
from registry.version import AdapterVersion
from serve.own_thread import in_own_thread

log = logging.getLogger(__name__)

NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
PULLS = 4
"""At once. They have threads of their own: a registry that hangs delays those who pull, and nobody else."""

_KEPT = re.compile(r"[0-9a-f]{64}", re.ASCII)


class DiskCache:
    """A folder for each version, named by its digest, below a folder that this process alone uses.

    A folder appears whole, by a rename, and is renamed away before it is removed, so nobody ever sees half of one.
    When the sum of their sizes passes ``limit``, those that nobody needs go, least recently used first; needed are
    those with a lease and those of which one of ``needs`` says so. What is larger than the limit lives as long as its
    lease.

    The engine is never given these folders but a private copy (``copy``): whatever happens to a folder here, the next
    load finds out, and pulls again.

    Attributes:
        size: bytes on the disk, of whole folders; copies under way and pulls under way come on top.
        needs: each says whether a digest's folder has to stay although nobody has a lease.
    """

    def __init__(
        self,
        folder: Path,
        limit: int,
        pull: Callable[[AdapterVersion, Path], None],
        files: Callable[[AdapterVersion], Sequence[FileEntry]] = lambda version: version.manifest.files,
    ) -> None:
        """``pull`` brings a version's ``files`` into a new folder; both may block, ``files`` once for each version."""
        self.limit = limit
        self.needs: list[Callable[[str], bool]] = []
        self._root = folder
        self._pull = pull
        self._files = files
        self._sizes: dict[str, int] = {}  # in order of use, oldest first
        self._leases: Counter[str] = Counter()
        self._pulls: dict[str, asyncio.Task[None]] = {}
        self._pull_turns = asyncio.Semaphore(PULLS)
        self._one_copy = asyncio.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._take_over()

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return sum(self._sizes.values())

    @property
    def pulling(self) -> bool:
        """Whether files are being pulled now."""
        return bool(self._pulls)

    def __contains__(self, digest: str) -> bool:
        return digest in self._sizes

    @contextlib.asynccontextmanager
    async def lease(self, version: AdapterVersion) -> AsyncIterator[Path]:
        """Have the version's files on this disk inside the context; simultaneous callers share one pull.

        Raises:
            Corrupted: the registry's copy is damaged.
            Unavailable: the registry is away, or this disk is full.
        """
        digest = version.digest
        self._leases[digest] += 1
        try:
            if digest in self._sizes:
                await asyncio.to_thread(self._files, version)
            if not self._complete(version):
                self._sizes.pop(digest, None)
                await self._pull_once(version)
            yield self._folder(digest)
        finally:
            self._leases -= Counter([digest])
            if digest in self._sizes:
                self._sizes[digest] = self._sizes.pop(digest)  # now the most recently used
                with contextlib.suppress(OSError):
                    os.utime(self._folder(digest))  # the next server starts with this order
            await self._shrink(self.limit)

    @contextlib.asynccontextmanager
    async def copy(self, version: AdapterVersion) -> AsyncIterator[Path]:
        """A private, verified copy of the version's files, removed at the end.

        vLLM maps an adapter's file into its memory and, on the CPU, computes from the mapping (safetensors 0.8):
        whoever truncates the file ends the engine with SIGBUS, whoever overwrites it changes weights under running
        requests. Nobody finds a file that has no name any more, and the mapping lives on without one.

        Raises:
            Corrupted: the registry's copy is damaged.
            Unavailable: the registry is away, or this disk is full.
        """
        target = self._root / f"loading-{uuid.uuid4().hex}"
        try:
            async with self.lease(version) as folder, self._one_copy:  # who finds damage pulls again, alone
                copy = partial(asyncio.to_thread, _copy, self._files(version), folder, target)
                try:
                    await self._with_room(version, copy)
                except Corrupted as error:
                    log.warning("Pulling %s again: %s", version, error.message)
                    await self._remove(version.digest)
                    await self._pull_once(version)
                    await self._with_room(version, copy)
            yield target
        finally:
            await asyncio.to_thread(shutil.rmtree, target, ignore_errors=True)

    async def verify_copy(self, version: AdapterVersion, copy: Path) -> None:
        """Prove that a private copy is still what it was.

        Raises:
            Corrupted: it is not.
        """
        await asyncio.to_thread(_verify, self._files(version), copy)

    def _folder(self, digest: str) -> Path:
        return self._root / digest.removeprefix("sha256:")

    def _take_over(self) -> None:
        """Go on with the folders of the server before, and remove what its killed pulls and loads have left."""
        kept = []
        for entry in self._root.iterdir():
            if _KEPT.fullmatch(entry.name) and entry.is_dir():
                kept.append((entry.stat().st_mtime_ns, entry))
            else:
                shutil.rmtree(entry, ignore_errors=True)
        for _, folder in sorted(kept):
            self._sizes[f"sha256:{folder.name}"] = _bytes(folder)
        while self.size > self.limit:
            digest = next(iter(self._sizes))
            del self._sizes[digest]
            if away := self._rename_away(digest):
                shutil.rmtree(away, ignore_errors=True)

    def _complete(self, version: AdapterVersion) -> bool:
        """Whether every file is there, with its size; its content is proved when it is copied for the engine."""
        folder = self._folder(version.digest)
        try:
            return version.digest in self._sizes and all(
                (folder / entry.path).stat().st_size == entry.size for entry in self._files(version)
            )
        except OSError:
            return False

    async def _pull_once(self, version: AdapterVersion) -> None:
        """Join the pull under way for this digest, or begin it; a caller that gives up does not stop the others."""
        digest = version.digest
        task = self._pulls.get(digest)
        if task is None:
            task = self._pulls[digest] = asyncio.create_task(self._pull_into_place(version))
            task.add_done_callback(lambda done: self._pulled(digest, done))
        await asyncio.shield(task)

    def _pulled(self, digest: str, task: asyncio.Task[None]) -> None:
        del self._pulls[digest]
        if not task.cancelled() and (error := task.exception()):
            log.warning("Pull of %s: %s", digest, error)

    async def _pull_into_place(self, version: AdapterVersion) -> None:
        folder = self._folder(version.digest)
        async with self._pull_turns:
            files = await in_own_thread(self._files, version)
            await self._remove(version.digest)  # what is left of a damaged folder
            await self._shrink(self.limit - sum(entry.size for entry in files))
            await self._with_room(version, partial(in_own_thread, self._pull, version, folder))
        self._sizes[version.digest] = await asyncio.to_thread(_bytes, folder)

    async def _with_room(self, version: AdapterVersion, write: Callable[[], Awaitable[None]]) -> None:
        """Write to the disk; when that is full, remove what nobody needs and try once more.

        Raises:
            Unavailable: there was no room, or the disk or the registry failed otherwise.
        """
        try:
            try:
                await write()
            except OSError as error:
                if error.errno not in NO_SPACE:
                    raise
                log.warning("The disk of %s is full: removing adapters that nobody uses.", self._root)
                await self._shrink(self.size - sum(entry.size for entry in self._files(version)))
                await write()
        except OSError as error:
            if error.errno in NO_SPACE:
                raise Unavailable(
                    f"{version} cannot be loaded: the disk of the adapter cache is full.",
                    "Free some space there, or start the server with a smaller --disk-cache.",
                ) from error
            raise Unavailable(f"{version} cannot be brought to this disk: {error.strerror or error}.") from error

    async def _shrink(self, limit: int) -> None:
        """Remove what nobody needs, least recently used first, until ``limit`` bytes are left."""
        for digest in list(self._sizes):
            if self.size <= limit:
                return
            if digest in self._sizes and not self._leases[digest] and not any(needs(digest) for needs in self.needs):
                await self._remove(digest)

    async def _remove(self, digest: str) -> None:
        self._sizes.pop(digest, None)
        if away := self._rename_away(digest):
            await asyncio.to_thread(shutil.rmtree, away, ignore_errors=True)

    def _rename_away(self, digest: str) -> Path | None:
        away = self._root / f"removing-{uuid.uuid4().hex}"
        try:
            return self._folder(digest).rename(away)
        except FileNotFoundError:
            return None


def _copy(files: Sequence[FileEntry], source: Path, target: Path) -> None:
    """Copy a version's files and prove the copy, which nobody else knows of.

    Raises:
        Corrupted: the source is not what it should be.
    """
    shutil.rmtree(target, ignore_errors=True)
    try:
        target.mkdir(mode=0o700)
        for entry in files:
            (target / entry.path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source / entry.path, target / entry.path)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise Corrupted(f"{error.filename} is missing.") from error
    _verify(files, target)


def _verify(files: Sequence[FileEntry], folder: Path) -> None:
    for entry in files:
        entry.verify(folder)


def _bytes(folder: Path) -> int:
    """What a folder takes on the disk, in whole blocks."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())
