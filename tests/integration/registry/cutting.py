"""A connection that is cut in the middle."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress


class Cutting:
    """A proxy that cuts a connection after so many bytes in one direction, as often as it is told.

    Attributes:
        url: where it listens.
        upwards: bytes that clients have sent.
    """

    def __init__(self, url: str, *, after: int, times: int, upwards: bool) -> None:
        self._target = ("127.0.0.1", int(url.rpartition(":")[2]))
        self._after, self._times, self._cut_upwards = after, times, upwards
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.upwards = 0
        self._pool = ThreadPoolExecutor(32)
        self._pool.submit(self._accept)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._pool.shutdown()
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._pool.submit(self._join, self._listener.accept()[0])

    def _join(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._target) as server:
            up = threading.Thread(target=self._carry, args=(client, server), kwargs={"upwards": True})
            up.start()
            self._carry(server, client, upwards=False)
            up.join()

    def _carry(self, source: socket.socket, target: socket.socket, *, upwards: bool) -> None:
        carried = 0
        with suppress(OSError):
            while piece := source.recv(1 << 16):
                carried += len(piece)
                self.upwards += len(piece) if upwards else 0
                if upwards == self._cut_upwards and self._times and carried > self._after:
                    self._times -= 1
                    break
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
