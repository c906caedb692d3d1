"""PullCache: what was pulled once, by content, so that a second pull is a few hard links.

Never the registry's own bytes (decision 1): copies of them, in the cache folder of whoever pulls (decision 11).
"""

import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from registry.canonical import digest_file
from registry.embedded.blobs import folder_made_whole
from registry.errors import Conflict, Corrupted
from registry.files import FileEntry
from registry.version import AdapterVersion

LINKED = 1 << 20
"""Bytes from which a file is linked. What people edit, such as a README, is smaller, and is copied."""

LIMIT = 32 << 30
"""Bytes that the cache may keep; what was pulled longest ago goes first."""

MARK = 1_000_000_000
"""Seconds: the time of modification of a file that was proved, with nanoseconds that come from its digest.

Whoever writes to such a file, through whichever of its names, moves the time, and the next pull hashes it again.
"""

PULLING = ".pull-"
ABANDONED = 24 * 3600.0
"""Seconds after which a folder of a pull is taken for a killed one's."""

NO_LINKS = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES})


class PullCache:
    """A folder with one read-only, proved file for each content: ``<2 hex>/<62 hex>``."""

    def __init__(self, root: Path, limit: int = LIMIT) -> None:
        self.root = root
        self._limit = limit

    def pull(self, version: AdapterVersion, target: Path, fetch: Callable[[Path], None]) -> bool:
        """Make the new folder ``target`` with a version's files: linked, or copied where links cannot be.

        Args:
            version: whose files.
            target: appears whole or not at all.
            fetch: pulls the version into a new folder, proved; called only where something is missing here.

        Returns:
            Whether nothing had to be fetched.

        Raises:
            Conflict: ``target`` exists.
        """
        if target.exists():
            raise Conflict(f"{target} exists already.", "Name another folder with --out.")
        files = version.manifest.files
        warm = all(self._has(entry) for entry in files)
        if not warm:
            self._fill(files, fetch)
        try:
            self._make(files, target)
        except FileNotFoundError:  # another pull made room for itself
            self._fill(files, fetch)
            self._make(files, target)
            return False
        return warm

    def _make(self, files: tuple[FileEntry, ...], target: Path) -> None:
        with folder_made_whole(target) as folder:
            for entry in files:
                self._lay(entry, folder / entry.path)

    def _has(self, entry: FileEntry) -> bool:
        """Whether the content is here, proved now or before."""
        file = self._place(entry)
        try:
            state = file.lstat()
        except FileNotFoundError:
            return False
        if stat.S_ISREG(state.st_mode) and state.st_size == entry.size:
            if state.st_mtime_ns == _mark(entry):
                return True
            if digest_file(file) == entry.digest:  # somebody touched it: it is as it was
                _seal(file, entry)
                return True
        file.unlink(missing_ok=True)
        return False

    def _fill(self, files: tuple[FileEntry, ...], fetch: Callable[[Path], None]) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=PULLING, dir=self.root) as work:
            folder = Path(work) / "version"
            fetch(folder)
            self._make_room(sum(entry.size for entry in files))
            for entry in files:
                file, place = folder / entry.path, self._place(entry)
                _seal(file, entry)
                place.parent.mkdir(exist_ok=True)
                file.replace(place)

    def _lay(self, entry: FileEntry, target: Path) -> None:
        """Put the content at ``target``: a link to it, or a copy that is proved again.

        Raises:
            Corrupted: the cached file was changed, and is removed.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.size >= LINKED:
            try:
                target.hardlink_to(self._place(entry))
            except OSError as error:
                if error.errno not in NO_LINKS:
                    raise
            else:
                return
        shutil.copyfile(self._place(entry), target)
        if digest_file(target) != entry.digest:
            self._place(entry).unlink(missing_ok=True)
            raise Corrupted(f"The cached content {entry.digest[:19]}… of {entry.path} was changed.", "Pull again.")

    def _make_room(self, size: int) -> None:
        """Remove what was linked longest ago (a link moves ctime) until ``size`` bytes more stay within the limit.

        What a killed pull has left goes first.
        """
        for folder in self.root.glob(f"{PULLING}*"):
            with suppress(FileNotFoundError):
                if folder.stat().st_mtime < time.time() - ABANDONED:
                    shutil.rmtree(folder, ignore_errors=True)
        kept = sorted((state.st_ctime_ns, state.st_size, file) for file, state in self._files())
        over = size + sum(bytes_ for _, bytes_, _ in kept) - self._limit
        for _, bytes_, file in kept:
            if over <= 0:
                return
            file.unlink(missing_ok=True)
            over -= bytes_

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for file in self.root.glob("??/*"):
            with suppress(FileNotFoundError):  # somebody else makes room
                yield file, file.lstat()

    def _place(self, entry: FileEntry) -> Path:
        hexadecimal = entry.digest.removeprefix("sha256:")
        return self.root / hexadecimal[:2] / hexadecimal[2:]


def _seal(file: Path, entry: FileEntry) -> None:
    """Mark a file whose content was proved; writing to it breaks the mark."""
    file.chmod(0o444)
    os.utime(file, ns=(_mark(entry), _mark(entry)))


def _mark(entry: FileEntry) -> int:
    return MARK * 10**9 + int(entry.digest[-8:], 16) % 10**9
