"""Kills a piece of Python at a chosen change of the disk: not at a time, and not between lines, but inside a commit.

A child is forked from this warm process and stopped by the kernel before each system call that changes files (seccomp's
``SECCOMP_RET_TRACE``, heard of through ptrace). The one with the chosen number never happens: SIGKILL comes first.
Linux on x86-64 and on 64-bit ARM.
"""

import ctypes
import os
import platform
import signal
import struct
import sys
from collections.abc import Callable

CALLS = {
    # write pwrite64 writev sendfile fsync fdatasync ftruncate rename mkdir rmdir link unlink chmod fchmod
    # mkdirat unlinkat renameat linkat fchmodat utimensat renameat2 copy_file_range
    "x86_64": (1, 18, 20, 40, 74, 75, 77, 82, 83, 84, 86, 87, 90, 91, 258, 263, 264, 265, 268, 280, 316, 326),
    # write pwrite64 writev sendfile fsync fdatasync ftruncate mkdirat unlinkat linkat renameat fchmod fchmodat
    # utimensat renameat2 copy_file_range
    "aarch64": (64, 68, 66, 71, 82, 83, 46, 34, 35, 37, 38, 52, 53, 88, 276, 285),
}
"""System calls that change files, beside opening one that is not there."""

OPENAT = {"x86_64": 257, "aarch64": 56}
POSSIBLE = sys.platform == "linux" and platform.machine() in CALLS

PTRACE_TRACEME, PTRACE_CONT, PTRACE_SETOPTIONS = 0, 7, 0x4200
OPTIONS = 0x8 | 0x80 | 0x100000  # TRACECLONE: threads too; TRACESECCOMP; EXITKILL
EVENT_SECCOMP = 7
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
RET_ALLOW, RET_TRACE = 0x7FFF0000, 0x7FF00000
LOAD, JUMP_EQUAL, JUMP_ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
FLAGS_OF_OPENAT = 16 + 2 * 8  # offset of the third argument in struct seccomp_data
WAIT_ALL = 0x40000000  # __WALL: threads too


def count_changes(action: Callable[[], object]) -> int:
    """Run ``action`` in a child to its end and say how many changes it makes to files."""
    return _trace(action, None)


def kill_at(action: Callable[[], object], change: int) -> None:
    """Run ``action`` in a child and kill it before its change number ``change``, from 0."""
    _trace(action, change)


def _trace(action: Callable[[], object], change: int | None) -> int:
    reader, writer = os.pipe()
    tracer = os.fork()  # waiting for all threads must not take the children of anybody else
    if tracer == 0:
        try:
            os.write(writer, struct.pack("i", _follow(action, change)))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        packed = answer.read()
    os.waitpid(tracer, 0)
    if len(packed) != 4:
        raise RuntimeError("The child could not be traced.")
    seen: int = struct.unpack("i", packed)[0]
    if seen < 0:
        raise RuntimeError("The child failed by itself.")
    return seen


def _follow(action: Callable[[], object], change: int | None) -> int:
    """In the tracer: how many changes were seen; -1 where the child failed by itself."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    child = os.fork()
    if child == 0:
        _act(libc, action)
    os.waitpid(child, 0)
    libc.ptrace(PTRACE_SETOPTIONS, child, None, OPTIONS)
    libc.ptrace(PTRACE_CONT, child, None, None)
    seen = 0
    while True:
        thread, status = os.waitpid(-1, WAIT_ALL)
        if not os.WIFSTOPPED(status):
            if thread != child:
                continue
            return seen if os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0 else -1
        if status >> 16 == EVENT_SECCOMP:
            if seen == change:
                os.kill(child, signal.SIGKILL)
                continue
            seen += 1
        passed_on = os.WSTOPSIG(status)
        quiet = status >> 16 or passed_on in {signal.SIGTRAP, signal.SIGSTOP}
        libc.ptrace(PTRACE_CONT, thread, None, None if quiet else passed_on)


def _act(libc: ctypes.CDLL, action: Callable[[], object]) -> None:
    """In the child: wait for the tracer, ask for the stops, act, and leave without cleaning up."""
    try:
        libc.ptrace(PTRACE_TRACEME, 0, None, None)
        os.kill(os.getpid(), signal.SIGSTOP)
        _ask_for_stops(libc)
        action()
    except BaseException:  # noqa: BLE001 - whatever it is, the tracer hears of it by the exit code
        os._exit(1)
    os._exit(0)


def _ask_for_stops(libc: ctypes.CDLL) -> None:
    machine = platform.machine()
    calls = CALLS[machine]
    program = [(LOAD, 0, 0, 0)]
    # Each jump says how many instructions to skip: to the last one, which asks for a stop.
    program += [(JUMP_EQUAL, len(calls) - index + 3, 0, call) for index, call in enumerate(calls)]
    program += [
        (JUMP_EQUAL, 0, 2, OPENAT[machine]),
        (LOAD, 0, 0, FLAGS_OF_OPENAT),
        (JUMP_ANY_BIT, 1, 0, os.O_CREAT),
        (RETURN, 0, 0, RET_ALLOW),
        (RETURN, 0, 0, RET_TRACE),
    ]
    packed = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    pointer = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(program), ctypes.addressof(packed)))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, pointer, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")
