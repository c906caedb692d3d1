"""The application: every route, behind the doorkeeper."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from fastapi import FastAPI

from registry.embedded.registry import EmbeddedRegistry
from registry.server import (
    aliases,
    artifacts,
    audit,
    bases,
    blobs,
    events,
    keys,
    marks,
    profiles,
    releases,
    replicas,
    reports,
    signatures,
    upkeep,
    uploads,
    versions,
    webhooks,
)
from registry.server.bodies import BodyLimit
from registry.server.callers import Doorkeeper, Kept
from registry.server.problems import DOCUMENTED, report_problems
from registry.server.upload_folder import UploadFolder
from registry.webhooks.deliverer import delivering

SWEEP_SECONDS = 600.0

ROUTERS = (
    versions,
    uploads,
    blobs,
    aliases,
    bases,
    profiles,
    releases,
    replicas,
    reports,
    artifacts,
    signatures,
    marks,
    upkeep,
    keys,
    events,
    webhooks,
    audit,
)

ABOUT = """Adapters, versions, aliases, reports and artifacts of one registry.

Send an API key as `Authorization: Bearer ak-…`. Each operation names the scope that it needs; `admin` has them all. A
key may be for some names only: for it, others do not exist. Errors are RFC 9457 problems."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """How a registry is served.

    Attributes:
        uploads: folder for content on its way in.
        upload_limit: most bytes on their way with one key.
        keys_required: whether requests need an API key of the registry.
        redirects: whether clients are sent to the blob store for content, where it can be read from directly.
    """

    uploads: Path
    upload_limit: int
    keys_required: bool
    redirects: bool


def build(registry: EmbeddedRegistry, options: ServerOptions) -> FastAPI:
    """The ASGI application that serves ``registry``."""
    folder = UploadFolder(options.uploads, options.upload_limit)

    @asynccontextmanager
    async def sweeping(_app: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_sweep(folder))
        async with delivering(registry.deliveries):
            yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    app = FastAPI(
        title="Adaptory registry",
        version="1",
        description=ABOUT,
        lifespan=sweeping,
        redoc_url=None,
        redirect_slashes=False,
        responses=DOCUMENTED,
    )
    app.state.registry = registry
    app.state.uploads = folder
    app.state.pulse = events.Pulse(registry)
    app.state.redirects = options.redirects
    report_problems(app)
    for router in ROUTERS:
        app.include_router(router.router)

    @app.get("/healthz", tags=["health"])
    def healthz(registry: Kept) -> dict[str, bool]:
        """Whether the server lives and its database answers; needs no key."""
        registry.events.last_id()
        return {"ok": True}

    app.add_middleware(BodyLimit)
    app.add_middleware(Doorkeeper, keys_required=options.keys_required)  # the last is the outermost
    return app


async def _sweep(folder: UploadFolder) -> None:
    while True:
        await asyncio.to_thread(folder.sweep)
        await asyncio.sleep(SWEEP_SECONDS)
