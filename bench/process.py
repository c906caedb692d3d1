"""Processes that a benchmark starts, waits for and ends."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

LONGEST_START = 400.0
LONGEST_END = 60.0


@contextmanager
def running(
    command: Sequence[str], *, environment: Mapping[str, str], output: Path, ready: Callable[[], bool]
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ready, ended by SIGINT after the block.

    Args:
        command: what to run.
        environment: variables beside the inherited ones.
        output: file that takes what it prints.
        ready: asked until it says so.

    Raises:
        RuntimeError: it ended or took too long; the message has the last of its output.
    """
    with output.open("wb") as stream:
        process = subprocess.Popen(
            command, env=os.environ | environment, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        end = time.monotonic() + LONGEST_START
        while not ready():
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{command[0]} did not start:\n{output.read_text('utf-8', 'replace')[-2000:]}")
            time.sleep(0.2)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(LONGEST_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    """Whether a GET gives 200."""
    import httpx

    try:
        return httpx.get(url, timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
