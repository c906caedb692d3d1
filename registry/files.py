"""FileEntry: one file of a manifest, a base model or an artifact, named by content."""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from registry.canonical import digest_file
from registry.errors import Corrupted, InvalidInput
from registry.refs import shown

MAX_PATH = 1024
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class FileEntry:
    """A file's place and content.

    Attributes:
        path: relative, with forward slashes, inside the folder that it belongs to.
        size: bytes.
        digest: ``sha256:<hex>`` of the content.
    """

    path: str
    size: int
    digest: str

    def __post_init__(self) -> None:
        """Prove that path and digest, which become names on a disk, are plain, wherever they came from.

        Raises:
            InvalidInput: they are not.
        """
        valid_digest(self.digest)
        if type(self.size) is not int or self.size < 0:
            raise InvalidInput(f"{shown(str(self.size))} bytes is no file's size; 0 or more were expected.")
        safe_path(self.path)

    @classmethod
    def of(cls, folder: Path, path: str) -> "FileEntry":
        """Read and hash ``folder / path``."""
        file = folder / safe_path(path)
        return cls(path, file.stat().st_size, digest_file(file))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "FileEntry":
        """Inverse of ``to_json``.

        Raises:
            InvalidInput: path, size or digest are none.
        """
        return cls(str(safe_path(document["path"])), document["size"], document["sha256"])

    def to_json(self) -> dict[str, Any]:
        """The form that manifests hold."""
        return {"path": self.path, "size": self.size, "sha256": self.digest}

    def verify(self, folder: Path) -> None:
        """Prove that ``folder`` holds this very file.

        Raises:
            Corrupted: it is missing, or has other bytes.
        """
        file = folder / safe_path(self.path)
        if not file.is_file():
            raise Corrupted(f"{file} is missing.")
        if file.stat().st_size != self.size or digest_file(file) != self.digest:
            raise Corrupted(f"{file} does not have the content that was recorded for it ({self.digest[:19]}…).")


def valid_digest(digest: str) -> str:
    """Return ``digest`` if it is ``sha256:`` and 64 hex digits.

    Raises:
        InvalidInput: it is not.
    """
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise InvalidInput(f"{shown(str(digest))} is no digest: sha256: and 64 hex digits were expected.")
    return digest


@lru_cache(maxsize=1024)  # versions hold the same few names: listing many of them spends half of its time here
def safe_path(path: str) -> PurePosixPath:
    """Read a relative path that stays inside its folder and that a disk can have.

    Raises:
        InvalidInput: it is absolute, empty, climbs out, is too long, or holds control characters.
    """
    if isinstance(path, str) and len(path) <= MAX_PATH and path.isprintable() and "\\" not in path:
        pure = PurePosixPath(path)
        parts = pure.parts
        if parts and not pure.is_absolute() and ".." not in parts and all(len(p.encode()) <= 255 for p in parts):
            return pure
    raise InvalidInput(f"{shown(str(path))} is not a file name inside a folder.", "Names are relative: folder/file.")
