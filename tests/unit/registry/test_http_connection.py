"""Connections that a client resets: nothing of them is kept."""

import gc
import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

from registry.http_connection import HttpConnection
from tests.unit.registry.served import served

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends a reset
REQUEST = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"


def held() -> int:
    return sum(isinstance(thing, HttpConnection) for thing in gc.get_objects())


def test_a_connection_that_is_reset_while_idle_is_forgotten(tmp_path: Path) -> None:
    with served(tmp_path, keys_required=False) as server:
        address = urlsplit(server.url)
        before = held()
        for _ in range(20):
            with socket.create_connection((address.hostname or "", address.port or 0)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.sendall(REQUEST)
                assert client.recv(12) == b"HTTP/1.1 200"
        end = time.monotonic() + 20
        while held() > before and time.monotonic() < end:
            gc.collect()
            time.sleep(0.05)
        assert held() == before
