"""Routes of uploads: what is here already, and the rest of it, from where it ended."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool
from pydantic import BaseModel, Field

from registry.canonical import CHUNK
from registry.errors import Unavailable
from registry.server.bodies import StrictRoute
from registry.server.callers import Kept, Pusher
from registry.server.fields import MAX_SIZE, FullDigest, Name
from registry.server.staging import Uploads, held, name_of
from registry.server.upload_folder import MOST_FILES, Content

router = APIRouter(route_class=StrictRoute, tags=["uploads"])

IDLE_SECONDS = 60.0
"""A client that sends nothing for so long is cut off; what came stays."""


class Sent(BaseModel):
    """One content that a client has: its digest and size in bytes."""

    digest: FullDigest
    size: int = Field(ge=0, le=MAX_SIZE)


class Question(BaseModel):
    """What is to be sent, for a version of the adapter ``name`` or for an artifact of the version ``version``."""

    name: Name | None = None
    version: FullDigest | None = None
    contents: list[Sent] = Field(max_length=MOST_FILES)


class Arrived(BaseModel):
    """How many bytes of a content are here, and whether they are all and proved; then nothing need be sent."""

    offset: int
    whole: bool


@router.post("/uploads")
def missing(caller: Pusher, registry: Kept, uploads: Uploads, question: Question) -> list[Arrived]:
    """How much of each content is here. What is in the registry already is not sent again.

    A key for some names only hears of what is in versions of this adapter: that somebody else's content is here is
    theirs to know.
    """
    wanted = [Content(one.digest, one.size) for one in question.contents]
    kept = held(registry, uploads, caller, _name(registry, caller, question), wanted)
    return [
        Arrived(offset=one.size, whole=True) if one in kept
        else Arrived(offset=uploads.offset(caller.id, one), whole=uploads.whole(caller.id, one))
        for one in wanted
    ]  # fmt: skip


@router.patch("/uploads/{digest}")
async def send(
    request: Request,
    caller: Pusher,
    uploads: Uploads,
    digest: FullDigest,
    upload_length: Annotated[int, Header(ge=0, le=MAX_SIZE)],
    upload_offset: Annotated[int, Header(ge=0, le=MAX_SIZE)],
) -> Arrived:
    """Append the body to what is here of this content, from Upload-Offset on; Upload-Length is all of it.

    When the last byte has come, the SHA-256 is proved. After a cut ask where it ended, and go on there. An upload that
    nobody goes on with for a day is removed.
    """
    content = Content(digest, upload_length)
    async with contextmanager_in_threadpool(uploads.writing(caller.id, content, upload_offset)) as writer:
        async for piece in _pieces(request):
            await run_in_threadpool(writer.write, piece)
    return Arrived(offset=writer.offset, whole=writer.offset == upload_length)


def _name(registry: Kept, caller: Pusher, question: Question) -> str:
    if question.name is not None:
        caller.prove_may_make(question.name)
        return question.name
    return name_of(registry, caller, question.version or "")


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """The body, gathered into pieces of about 1 MiB."""
    stream, gathered = request.stream().__aiter__(), bytearray()
    while True:
        try:
            piece = await asyncio.wait_for(anext(stream), IDLE_SECONDS)
        except StopAsyncIteration:
            break
        except TimeoutError as error:
            raise Unavailable(f"Nothing came for {IDLE_SECONDS:.0f} seconds.", "Go on where it ended.") from error
        gathered += piece
        if len(gathered) >= CHUNK:
            yield bytes(gathered)
            gathered.clear()
    yield bytes(gathered)
