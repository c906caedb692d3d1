"""A disk that is soon full."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes; the test is skipped where nobody may mount one."""
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "none", str(place)]
    if not mount or not unmount or subprocess.run([mount, *options], check=False, capture_output=True).returncode:
        pytest.skip("nobody may mount a small file system here")
    try:
        yield place
    finally:
        subprocess.run([unmount, "-l", place], check=True)


def fill(file: Path, spare: int) -> None:
    """Leave ``spare`` bytes on the file's disk."""
    state = os.statvfs(file.parent)
    file.write_bytes(bytes(max(0, state.f_bavail * state.f_frsize - spare)))
