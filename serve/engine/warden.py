"""The warden: a tiny process between gateway and engine, so that no engine outlives its gateway.

``python warden.py RUNTIME_FOLDER CORES COMMAND ...`` starts the command, on these CPU cores (``0,2``; an empty string
for all), and waits. Its standard input is a pipe whose other end only the gateway holds: when the gateway ends, however
it ends, the pipe closes, and the warden kills every process below it and removes the runtime folder. It is run by path
and needs the standard library only, so it starts in milliseconds and has nothing to fail on.
"""

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 2.0


def main(arguments: list[str]) -> int:
    """Run the command until it ends or the pipe on standard input closes.

    Returns:
        The command's exit status, 128 + n where signal n ended it.
    """
    runtime, cores, *command = arguments
    if cores:
        os.sched_setaffinity(0, map(int, cores.split(",")))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the pipe alone says when to stop
    libc = ctypes.CDLL(None)
    # Orphans of the engine become children of the warden instead of init's, so that none escapes.
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    child = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: _before_exec(libc),  # noqa: PLW1509 - this process has one thread
    )
    try:
        status = _wait(child)
    finally:
        _kill_descendants(child)
        shutil.rmtree(runtime, ignore_errors=True)
    return status if status >= 0 else 128 - status


def _before_exec(libc: ctypes.CDLL) -> None:
    """Undo what the engine must not inherit, and tie its life to the warden's."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait(child: subprocess.Popen[bytes]) -> int:
    """Until the child ends, or the pipe does."""
    ended = os.pidfd_open(child.pid)
    poll = select.poll()
    poll.register(ended, select.POLLIN)
    poll.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if ended in ready:
            return child.wait()
        if not os.read(sys.stdin.fileno(), 4096):
            return child.poll() or 0


def _kill_descendants(child: subprocess.Popen[bytes]) -> None:
    """Ask first, then kill until nothing below this process is left; adopted orphans are reaped on the way."""
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
    while True:
        for pid in _descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _descendants(root: int) -> list[int]:
    """Every process below ``root``, from /proc."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # pid (comm) state ppid ...; comm may hold spaces and brackets.
            ppid = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(ppid, []).append(int(entry.name))
    found: list[int] = []
    layer = [root]
    while layer:
        layer = [pid for parent in layer for pid in parents.get(parent, [])]
        found += layer
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
