"""Staging: the files of a version or an artifact brought together, from uploads and from what is kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Request
from pydantic import BaseModel, Field

from registry.embedded.registry import EmbeddedRegistry
from registry.errors import Conflict, Corrupted, InvalidInput, NotFound, Refused
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


def held(
    registry: EmbeddedRegistry, uploads: UploadFolder, caller: Caller, name: str, wanted: Sequence[Content]
) -> set[Content]:
    """What of it the registry keeps, and the caller may know of: with a key for some names, what ``name`` has.

    Content that was found damaged does not count: it is sent again, and so made whole.
    """
    own: set[str] | None = None
    if caller.limited:
        try:
            own = {file.digest for version in registry.versions.list(name) for file in version.manifest.files}
        except NotFound:
            own = set()
    known = (one for one in wanted if own is None or one.digest in own)
    return {one for one in known if not uploads.wants(one.digest) and registry.blobs.size(one.digest) == one.size}


def name_of(registry: EmbeddedRegistry, caller: Caller, version_digest: str) -> str:
    """A name of the version to which the caller may add something, which all names of it will have.

    Raises:
        NotFound: the caller may use none of its names.
        Refused: it has another name too, which the caller may not use.
    """
    names = [version.name for version in registry.versions.with_digest(version_digest)]
    mine = [name for name in names if caller.may_name(name)]
    if not mine:
        raise NotFound(f"There is no version {version_digest[:19]}….", "registry list")
    if mine != names:
        raise Refused(
            f"The version {version_digest[:19]}… has a name too that the API key {caller.id} is not for.",
            "What is added to a version shows under all of its names: ask for a key for all of them.",
        )
    return mine[0]


@contextmanager
def staged(
    registry: EmbeddedRegistry, uploads: UploadFolder, caller: Caller, name: str, files: Sequence[SentFile]
) -> Iterator[tuple[Path, tuple[FileEntry, ...]]]:
    """A folder of the blob store's with all files in it, for ``admit`` or ``keep``; then the uploads are forgotten.

    They stay where the caller raises: a push that was refused for its configuration need not send its weights again.

    Raises:
        InvalidInput: two files would lie in one place.
        Conflict: some content is not here, or is damaged; pushing again sends it.
    """
    entries = tuple(FileEntry(file.path, file.size, file.digest) for file in files)
    _prove_apart(entries)
    kept = held(registry, uploads, caller, name, [Content(entry.digest, entry.size) for entry in entries])
    with registry.blobs.stage() as folder:
        for entry in entries:
            if not uploads.place(caller.id, entry, folder / entry.path):
                if Content(entry.digest, entry.size) not in kept:
                    raise Conflict(f"The content of {entry.path} ({entry.digest[:19]}…) has not come.", "Push again.")
                _take_kept(registry, uploads, entry, folder / entry.path)
        yield folder, entries
    uploads.discard(caller.id, entries)


def _take_kept(registry: EmbeddedRegistry, uploads: UploadFolder, entry: FileEntry, target: Path) -> None:
    try:
        registry.blobs.copy_out(entry, target)
    except Corrupted as error:
        uploads.want(entry.digest)
        raise Conflict(error.message, "Push again: now it is sent, and so made whole.") from error


def _prove_apart(entries: Sequence[FileEntry]) -> None:
    taken: set[str] = set()
    for entry in sorted(entries):
        parts = entry.path.split("/")
        if any("/".join(parts[: count + 1]) in taken for count in range(len(parts))):
            raise InvalidInput(f"Two files would lie at {entry.path}.")
        taken.add(entry.path)
