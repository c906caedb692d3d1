"""Connections that a client resets: nothing of them is kept."""

import contextlib
import gc
import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

import registry.http_connection
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


@pytest.mark.parametrize("piece", [b"x-a: 1\r\n" * 2000, b"a" * 16_000], ids=["headers", "one header"])
def test_a_head_without_an_end_is_refused(tmp_path: Path, piece: bytes) -> None:
    with served(tmp_path, keys_required=True) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname or "", address.port or 0)) as client:
            client.settimeout(20)
            client.sendall(b"GET / HTTP/1.1\r\nhost: x\r\nx-a: ")
            with contextlib.suppress(ConnectionError):  # it may be closed while more is sent
                for _ in range(500):
                    client.sendall(piece)
                assert client.recv(12) == b"HTTP/1.1 400"
                assert len(client.recv(1000)) < 1000
                assert client.recv(1) == b""


def test_a_connection_that_says_nothing_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.http_connection, "HEAD_SECONDS", 0.2)
    with served(tmp_path, keys_required=True) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname or "", address.port or 0)) as client:
            client.settimeout(20)
            assert client.recv(12) == b""
        with socket.create_connection((address.hostname or "", address.port or 0)) as client:
            client.settimeout(20)
            client.sendall(b"GET / HT")
            assert client.recv(12) == b"HTTP/1.1 400"
        with httpx.Client(base_url=server.url) as kept:
            for _ in range(3):
                assert kept.get("/healthz").status_code == 200
                time.sleep(0.3)  # between requests a connection may rest for longer
