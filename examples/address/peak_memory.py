"""PeakMemory: the most memory that this process and all its children held together."""

import threading
from types import TracebackType

import psutil


class PeakMemory:
    """Samples the resident memory of the process tree while it is entered.

    Attributes:
        peak: bytes; memory that two processes share counts twice, so the true figure is lower.
    """

    def __init__(self, every: float = 0.5) -> None:
        self.peak = 0
        self._every = every
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            self.peak = max(self.peak, _resident())


def _resident() -> int:
    here = psutil.Process()
    total = 0
    for process in (here, *here.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
