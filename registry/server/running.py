"""The server as a process: uvicorn, which ends streams of events when it is told to stop."""

import socket

import uvicorn
from fastapi import FastAPI

from registry.http_connection import KEEP_ALIVE_SECONDS, HttpConnection

DRAIN_SECONDS = 30
"""Uploads and downloads that run have so long to end; both can be gone on with."""


class Server(uvicorn.Server):
    """Serves an application that ``registry.server.app.build`` made."""

    def __init__(self, app: FastAPI) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpConnection,
                lifespan="on",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=DRAIN_SECONDS,
            )
        )
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop; streams of events never end by themselves."""
        self._app.state.pulse.ended = True
        await super().shutdown(sockets)
