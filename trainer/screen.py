"""What a person sees while a run goes on: a bar on a terminal, a line now and then in a log."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from registry import console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINES = 10  # lines that a log gets per stage


class Screen:
    """Shows one stage after another."""

    def __init__(self, bar: "Progress") -> None:
        self._bar = bar
        self._task: TaskID | None = None
        self._name = ""
        self._total = 0

    def stage(self, name: str, total: int = 0) -> None:
        """Begin a stage of ``total`` steps; 0 where nobody knows."""
        self._name, self._total = name, total
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(name, total=total or None)
        if self._bar.disable:
            console.say(name)

    def step(self, done: int, note: str = "") -> None:
        """So many steps of the stage are done."""
        if self._task is not None:
            self._bar.update(self._task, completed=done, description=f"{self._name}  {note}".rstrip())
        if self._bar.disable and note and (done == self._total or done % max(1, self._total // LINES) == 0):
            console.say(f"  {done}/{self._total}  {note}")

    def warn(self, text: str) -> None:
        """Tell of something that may spoil the result."""
        self._bar.console.print(f"Warning: {text}", style="yellow", highlight=False)


@contextmanager
def screen() -> Iterator[Screen]:
    """A screen for the time of the block."""
    with console.progress() as bar:
        yield Screen(bar)
