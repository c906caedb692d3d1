"""Connections of our HTTP servers: open for longer than clients keep idle ones, and forgotten when they are lost."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep idle connections (httpx 5, aiohttp 15), so that none asks on one that closes at this moment;
with uvicorn's own 5 one request in 3,000 failed on a GPU."""


class HttpConnection(HttpToolsProtocol):
    """uvicorn's, which leaves an idle connection's timer running when a client resets it (0.54, ``connection_lost``).

    The timer holds the connection: some KB for each that was reset in the last ``KEEP_ALIVE_SECONDS``.
    """

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer, whatever ended the connection."""
        self._unset_keepalive_if_required()
        super().connection_lost(exc)
