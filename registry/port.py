"""The port to listen on, taken before anything slow begins."""

import socket

from registry.errors import InvalidInput

NEXT_PORTS = 50


def listen(host: str, port: int) -> socket.socket:
    """Bind ``host:port``; 0 takes any free port.

    Raises:
        InvalidInput: somebody else has it, or this machine has no such address.
    """
    try:
        return _bound(host, port)
    except OSError as error:
        if free := _next_free(host, port):
            raise InvalidInput(f"Port {port} on {host} is in use.", f"Take another one: --port {free}") from error
        raise InvalidInput(
            f"Cannot listen on {host}:{port} ({error.strerror or error}).", "Take another: --host 127.0.0.1 --port 0"
        ) from error


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)  # a port that another process has bound but not yet opened fails here
    except OSError:
        listener.close()
        raise
    return listener


def _next_free(host: str, port: int) -> int | None:
    for candidate in range(port + 1, min(port + NEXT_PORTS, 65535)):
        try:
            _bound(host, candidate).close()
        except OSError:
            continue
        return candidate
    return None
