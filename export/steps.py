"""Steps: a progress bar for each step of an export, one below the other."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from registry import console


class Steps:
    """Draws on stderr; silent where that is no terminal."""

    @contextmanager
    def bytes(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """A step that is measured in bytes, with rate and remaining time; gives what hears of progress."""
        with console.progress(of_bytes=True) as bar:
            task = bar.add_task(name, total=total)
            yield lambda count: bar.advance(task, count)

    @contextmanager
    def count(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """A step that is measured in pieces."""
        with console.progress() as bar:
            task = bar.add_task(name, total=total)
            yield lambda count: bar.advance(task, count)

    @contextmanager
    def waiting(self, name: str) -> Iterator[None]:
        """A step whose length is not known."""
        with console.progress() as bar:
            bar.add_task(name, total=None)
            yield
