"""A child process that writes one file: its progress is the file's growth, its chatter is kept for the error."""

import re
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from export.errors import ConversionFailed, DiskFull
from export.space import says_full

POLL = 0.2
"""Seconds between two looks at the file."""

_BROKEN = re.compile(r"error|exception|failed|unsupported|not supported", re.IGNORECASE)


def run_child(
    command: Sequence[str], *, what: str, output: Path, on_bytes: Callable[[int], None] | None = None
) -> None:
    """Run a command until it ends; it is killed if this process is interrupted.

    Args:
        command: program and arguments.
        what: what it does, for the error.
        output: the file that it writes.
        on_bytes: hears how much the file has grown.

    Raises:
        ConversionFailed: it failed; with the line of its output that says most.
        DiskFull: it failed for lack of room.
    """
    with tempfile.TemporaryFile() as chatter:
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=chatter, stderr=chatter) as process:
            try:
                _watch(process, output, on_bytes)
            except BaseException:
                process.kill()
                raise
        if process.returncode == 0:
            return
        chatter.seek(0)
        text = chatter.read().decode("utf-8", "replace")
    if says_full(text):
        raise DiskFull(f"The disk of {output.parent} is full; nothing was kept.", "Make room and try again.")
    how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
    raise ConversionFailed(f"{what} failed ({how}): {telling_line(text)}")


def telling_line(text: str) -> str:
    """The last line that looks like an error, or the last line at all."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if _BROKEN.search(line)), lines[-1] if lines else "it said nothing")


def _watch(process: subprocess.Popen[bytes], output: Path, on_bytes: Callable[[int], None] | None) -> None:
    seen = 0
    ended = False
    while not ended:
        try:
            process.wait(POLL)
            ended = True
        except subprocess.TimeoutExpired:
            pass
        size = output.stat().st_size if output.exists() else 0
        if on_bytes and size > seen:
            on_bytes(size - seen)
        seen = size
