"""Loader: a load generator's process, and what it has reported so far."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from bench.plan import Done, Plan

ROOT = Path(__file__).resolve().parents[1]
LOOK_SECONDS = 0.02


class Loader:
    """Runs a plan while it is entered. ``done`` grows by one for each request that ends."""

    def __init__(self, plan: Plan, on_done: Callable[[], None] = lambda: None) -> None:
        self.done: list[Done] = []
        self._plan = plan
        self._on_done = on_done
        self._looked = 0
        self._reader = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Loader":
        command = [sys.executable, "-m", "bench.load"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdin  # noqa: S101 - a pipe was asked for
        self._process.stdin.write(self._plan.to_json().encode() + b"\n")
        self._process.stdin.flush()
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error:
            self._process.kill()
        self.stop()
        self._reader.join()
        if self._process.wait() and not error:
            raise RuntimeError(f"The load generator ended with status {self._process.returncode}.")

    def stop(self) -> None:
        """Ask nothing new; requests under way end."""
        assert self._process.stdin  # noqa: S101 - a pipe was asked for
        self._process.stdin.close()

    def finish(self) -> Sequence[Done]:
        """Wait until everything has been asked and has ended."""
        self._reader.join()
        return self.done

    def wait_for(self, wanted: Callable[[Done], bool], seconds: float) -> Done | None:
        """The next request that is wanted, looking at each once, or None if none ends within so many seconds."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            while self._looked < len(self.done):
                self._looked += 1
                if wanted(one := self.done[self._looked - 1]):
                    return one
            time.sleep(LOOK_SECONDS)
        return None

    def _read(self) -> None:
        assert self._process.stdout  # noqa: S101 - a pipe was asked for
        for line in self._process.stdout:
            self.done.append(Done.from_json(line))
            self._on_done()
        self._process.stdout.close()
