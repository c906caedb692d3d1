"""Connections of our HTTP servers: open for longer than clients keep idle ones, and forgotten when they are lost.

What a client sends before it has said who it is, is bounded here: the head of a request in bytes and in time.
"""

from asyncio import TimerHandle, Transport

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep idle connections (httpx 5, aiohttp 15), so that none asks on one that closes at this moment;
with uvicorn's own 5 one request in 3,000 failed on a GPU."""


MAX_HEAD = 64 << 10
"""Bytes of a request's first line and headers, beside what comes with their first or last piece (asyncio: 256 KiB)."""

HEAD_SECONDS = 60.0
"""For a connection's first head to come, and for each to come whole."""


class HttpConnection(HttpToolsProtocol):
    """uvicorn's, with bounded heads.

    uvicorn's own leaves an idle connection's timer running when a client resets it (0.54, ``connection_lost``). The
    timer holds the connection: some KB for each that was reset in the last ``KEEP_ALIVE_SECONDS``.
    """

    _timer: TimerHandle | None = None
    _in_head = False
    _begun = False  # a head has, in the piece that is read now
    _head = 0

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """A client has come."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers, whatever ended the connection."""
        self._unset_keepalive_if_required()
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a piece."""
        self._begun = False
        super().data_received(data)
        if self._in_head and not self._begun:
            self._head += len(data)
            if self._head > MAX_HEAD:
                self._refuse("The head of the request is too large.")

    def on_message_begin(self) -> None:
        """A request's first byte has come."""
        super().on_message_begin()
        self._in_head, self._begun, self._head = True, True, 0
        self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Its head is whole."""
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def _wait_for_head(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._too_late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        if self._in_head:
            self._refuse("The head of the request took too long.")
        else:
            self.transport.close()  # nothing was asked: an answer would be taken for that to the next request

    def _refuse(self, why: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.close()  # in the midst of an answer
        elif not self.transport.is_closing():
            self.send_400_response(why)
