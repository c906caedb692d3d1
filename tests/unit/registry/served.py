"""A registry's server on a free port, in a thread of this process, for whichever registry a test puts behind it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI

from registry.embedded.registry import EmbeddedRegistry
from registry.server.app import ServerOptions, build
from registry.server.events import Pulse
from registry.server.running import Server

UPLOAD_LIMIT = 1 << 26


class Served:
    """A server that runs.

    Attributes:
        url: where it answers.
        app: the application.
        uploads: its folder of uploads.
    """

    def __init__(self, url: str, app: FastAPI, uploads: Path) -> None:
        self.url = url
        self.app = app
        self.uploads = uploads

    def put(self, registry: EmbeddedRegistry) -> None:
        """Serve this registry from now on; streams of the one before end."""
        self.app.state.pulse.ended = True
        self.app.state.registry = registry
        self.app.state.pulse = Pulse(registry)


@contextmanager
def served(folder: Path, *, keys_required: bool) -> Iterator[Served]:
    """Serve the registry in ``folder``."""
    registry = EmbeddedRegistry(folder / "registry")
    options = ServerOptions(
        uploads=folder / "uploads", upload_limit=UPLOAD_LIMIT, keys_required=keys_required, redirects=True
    )
    app = build(registry, options)
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}", app, options.uploads)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        registry.close()
