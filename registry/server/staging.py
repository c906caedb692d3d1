"""Staging: the files of a version or an artifact brought together, from uploads and from what is kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel, Field

from registry.embedded.registry import EmbeddedRegistry
from registry.errors import Conflict, InvalidInput, NotFound
from registry.files import FileEntry
from registry.server.callers import Caller
from registry.server.fields import MAX_SIZE, FilePath, FullDigest
from registry.server.upload_folder import Content, UploadFolder


class SentFile(BaseModel):
    """A file by its path, its size in bytes and its digest; the content was uploaded, or is kept already."""

    path: FilePath
    size: int = Field(ge=0, le=MAX_SIZE)
    digest: FullDigest


async def _uploads(request: Request) -> UploadFolder:
    uploads: UploadFolder = request.app.state.uploads
    return uploads


Uploads = Annotated[UploadFolder, Depends(_uploads)]


def held(registry: EmbeddedRegistry, caller: Caller, name: str, wanted: Sequence[Content]) -> set[Content]:
    """What of it the registry keeps, and the caller may know of: with a key for some names, what ``name`` has."""
    own: set[str] | None = None
    if caller.limited:
        try:
            own = {file.digest for version in registry.versions.list(name) for file in version.manifest.files}
        except NotFound:
            own = set()
    known = (one for one in wanted if own is None or one.digest in own)
    return {one for one in known if registry.blobs.size(one.digest) == one.size}


def name_of(registry: EmbeddedRegistry, caller: Caller, version_digest: str) -> str:
    """A name of the version that the caller may use.

    Raises:
        NotFound: there is none.
    """
    for version in registry.versions.with_digest(version_digest):
        if caller.may_name(version.name):
            return version.name
    raise NotFound(f"There is no version {version_digest[:19]}….", "registry list")


@contextmanager
def staged(
    registry: EmbeddedRegistry, uploads: UploadFolder, caller: Caller, name: str, files: Sequence[SentFile]
) -> Iterator[tuple[Path, tuple[FileEntry, ...]]]:
    """A folder of the blob store's with all files in it, for ``admit`` or ``keep``; then the uploads are forgotten.

    They stay where the caller raises: a push that was refused for its configuration need not send its weights again.

    Raises:
        InvalidInput: two files would lie in one place.
        Conflict: some content is not here.
    """
    entries = tuple(FileEntry(file.path, file.size, file.digest) for file in files)
    _prove_apart(entries)
    kept = held(registry, caller, name, [Content(entry.digest, entry.size) for entry in entries])
    with registry.blobs.stage() as folder:
        for entry in entries:
            if not uploads.place(caller.id, entry, folder / entry.path):
                if Content(entry.digest, entry.size) not in kept:
                    raise Conflict(f"The content of {entry.path} ({entry.digest[:19]}…) has not come.", "Push again.")
                registry.blobs.copy_out(entry, folder / entry.path)
        yield folder, entries
    uploads.discard(caller.id, entries)


def _prove_apart(entries: Sequence[FileEntry]) -> None:
    taken: set[str] = set()
    for entry in sorted(entries):
        parts = entry.path.split("/")
        if any("/".join(parts[: count + 1]) in taken for count in range(len(parts))):
            raise InvalidInput(f"Two files would lie at {entry.path}.")
        taken.add(entry.path)
