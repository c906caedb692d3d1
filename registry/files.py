"""FileEntry: one file of a manifest, a base model or an artifact, named by content."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from registry.canonical import digest_file
from registry.errors import Corrupted, InvalidInput
from registry.refs import shown


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

    @classmethod
    def of(cls, folder: Path, path: str) -> "FileEntry":
        """Read and hash ``folder / path``."""
        file = folder / safe_path(path)
        return cls(path, file.stat().st_size, digest_file(file))

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "FileEntry":
        """Inverse of ``to_json``; the path is proved to stay inside its folder."""
        return cls(str(safe_path(document["path"])), int(document["size"]), str(document["sha256"]))

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


def safe_path(path: str) -> PurePosixPath:
    """Read a relative path that stays inside its folder.

    Raises:
        InvalidInput: it is absolute, empty, climbs out, or holds control characters.
    """
    pure = PurePosixPath(path)
    if not path or "\\" in path or pure.is_absolute() or ".." in pure.parts or not path.isprintable() or path == ".":
        raise InvalidInput(f"{shown(path)} is not a file name inside a folder.")
    return pure
