"""The route of contents: a file of a version or an artifact, whole or a range of it."""

import re
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from registry.embedded.registry import EmbeddedRegistry
from registry.errors import Corrupted, InvalidInput, NotFound
from registry.server.callers import Caller, Kept, Reader
from registry.server.fields import FullDigest

router = APIRouter(tags=["blobs"])

URL_SECONDS = 600
"""A client that was sent to the blob store has so long to begin reading there."""

_RANGE = re.compile(r"bytes=(?=-?\d)(\d{0,19})-(\d{0,19})", re.ASCII)


class _Unsatisfiable(InvalidInput):
    http_status = 416


@router.get("/blobs/{digest}", response_class=StreamingResponse)
def content(
    request: Request,
    caller: Reader,
    registry: Kept,
    digest: FullDigest,
    version: FullDigest,
    range_: Annotated[str | None, Header(alias="range", max_length=64)] = None,
    if_none_match: Annotated[str | None, Header(max_length=256)] = None,
) -> Response:
    """The content ``digest``, which the version of the digest ``version`` or one of its artifacts has.

    Takes one range (``bytes=100-199`` or ``bytes=100-``); ETag is the digest. Where the blob store can be read from
    directly this redirects there, for ten minutes.
    """
    size = _size(registry, caller, digest, version)
    tag = {"etag": f'"{digest}"', "accept-ranges": "bytes", "cache-control": "private, immutable, max-age=31536000"}
    if if_none_match == tag["etag"]:
        return Response(status_code=304, headers=tag)
    if request.app.state.redirects and (url := registry.blobs.url(digest, URL_SECONDS)):
        return RedirectResponse(url, 307)
    kept = registry.blobs.size(digest)
    if kept is not None and kept != size:  # reading says what is missing
        raise Corrupted(f"The content {digest[:19]}… is not whole in the registry.", "registry verify")
    start, stop = _range(range_, size)
    headers = tag | {"content-length": str(stop - start), "x-content-type-options": "nosniff"}
    if range_:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    pieces = registry.blobs.read(digest, start, stop)
    return StreamingResponse(pieces, 206 if range_ else 200, headers, "application/octet-stream")


def _size(registry: EmbeddedRegistry, caller: Caller, digest: str, version_digest: str) -> int:
    """Size of the content, proved to be the caller's to read.

    Raises:
        NotFound: there is no such version with such content, or none that the caller may name.
    """
    mine = [version for version in registry.versions.with_digest(version_digest) if caller.may_name(version.name)]
    files = [file for version in mine[:1] for file in version.manifest.files]
    sizes = {file.digest: file.size for file in files}
    if mine and digest not in sizes:
        sizes = {file.digest: file.size for one in registry.artifacts.list(version_digest) for file in one.files}
    if digest not in sizes:
        raise NotFound(f"No version {version_digest[:19]}… has the content {digest[:19]}….", "registry list")
    return sizes[digest]


def _range(header: str | None, size: int) -> tuple[int, int]:
    if header is None:
        return 0, size
    found = _RANGE.fullmatch(header)
    if not found:
        raise InvalidInput("The header Range is not understood.", "Send bytes=START-STOP, START- or -COUNT.")
    if not found[1]:
        start, last = max(0, size - int(found[2])), size - 1
    else:
        start, last = int(found[1]), int(found[2] or size - 1)
    if start >= size or last < start:
        raise _Unsatisfiable(f"The content has {size} bytes; the range begins beyond them.")
    return start, min(last + 1, size)
