"""The warden, with processes that sleep."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serve.engine import warden

WARDEN = str(Path(warden.__file__))

SLEEPER = """
import subprocess
print(subprocess.Popen(["sleep", "300"], start_new_session=True, stdout=subprocess.DEVNULL).pid)
"""
FAMILY = f"""
import os, pathlib, subprocess, sys, time
# A child in a session of its own, and one whose parent has gone: both escape the killing of a process group.
child = subprocess.Popen(["sleep", "300"], start_new_session=True)
orphan = subprocess.run([sys.executable, "-c", {SLEEPER!r}], stdout=subprocess.PIPE, text=True).stdout.strip()
pathlib.Path(sys.argv[1]).write_text(f"{{os.getpid()}} {{child.pid}} {{orphan}}\\n")
time.sleep(300)
"""
GATEWAY = """
import subprocess, sys, time
subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, start_new_session=True)
time.sleep(300)
"""


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("waited in vain")


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it can end between the opening and the reading
        return False


def start_family(tmp_path: Path) -> tuple[subprocess.Popen[bytes], list[int], Path]:
    runtime, noted = tmp_path / "runtime", tmp_path / "pids"
    runtime.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-I", WARDEN, str(runtime), "", sys.executable, "-c", FAMILY, str(noted)],
        stdin=subprocess.PIPE,
    )
    wait_for(lambda: noted.exists() and noted.read_text().endswith("\n"))
    return process, [int(pid) for pid in noted.read_text().split()], runtime


def test_nothing_is_left_when_the_pipe_closes(tmp_path: Path) -> None:
    process, family, runtime = start_family(tmp_path)
    assert all(alive(pid) for pid in family)
    assert process.stdin
    process.stdin.close()
    process.wait()
    assert not any(alive(pid) for pid in family)
    assert not runtime.exists()


def test_nothing_is_left_when_the_engine_is_killed(tmp_path: Path) -> None:
    process, family, runtime = start_family(tmp_path)
    os.kill(family[0], signal.SIGKILL)
    assert process.wait() == 128 + signal.SIGKILL
    assert not any(alive(pid) for pid in family)
    assert not runtime.exists()
    assert process.stdin
    process.stdin.close()


def test_nothing_is_left_when_the_gateway_is_killed(tmp_path: Path) -> None:
    noted, runtime = tmp_path / "pids", tmp_path / "runtime"
    runtime.mkdir()
    family_command = [sys.executable, "-I", WARDEN, str(runtime), "", sys.executable, "-c", FAMILY, str(noted)]
    gateway = subprocess.Popen([sys.executable, "-c", GATEWAY, *family_command])
    wait_for(lambda: noted.exists() and noted.read_text().endswith("\n"))
    family = [int(pid) for pid in noted.read_text().split()]
    gateway.kill()
    gateway.wait()
    wait_for(lambda: not any(alive(pid) for pid in family) and not runtime.exists())


def test_the_cores_are_the_engines_alone_and_its_status_is_passed_on(tmp_path: Path) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    core = min(os.sched_getaffinity(0))
    program = f"import os; raise SystemExit(3 if os.sched_getaffinity(0) == {{{core}}} else 1)"
    command = [sys.executable, "-I", WARDEN, str(runtime), str(core), sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.wait() == 3
