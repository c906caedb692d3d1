"""What every command prints: tables, JSON, progress, and one red line for an error."""

import functools
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from registry.errors import AdaptoryError, Unavailable
from registry.settings import Settings

if TYPE_CHECKING:
    from rich.progress import Progress

P = ParamSpec("P")

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Turn errors made on purpose into one red line and an exit code; bugs keep their traceback."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except AdaptoryError as error:
            fail(error)
        except KeyboardInterrupt:
            click.echo("Stopped.", err=True)
            sys.exit(130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            if error.errno is None:
                raise
            fail(Unavailable(f"{error.filename or 'The disk'}: {error.strerror}."))

    return run


def fail(error: AdaptoryError) -> None:
    """Print the error as one line on stderr and leave with its exit code."""
    line = f"{error.message} {error.hint}".strip()
    click.secho(f"Error: {line}", fg="red", err=True)
    sys.exit(error.exit_code)


def settings() -> Settings:
    """The process's settings, for an entry point to pass down."""
    return Settings.from_environment(os.environ)


def print_json(document: Any) -> None:
    """Print a document on stdout."""
    click.echo(json.dumps(document, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under a heading, aligned and as they are; the widest terminal is assumed where there is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    Console(width=None if sys.stdout.isatty() else 200, soft_wrap=False).print(table)


def say(line: str) -> None:
    """Tell a person something, on stderr, so that stdout stays clean for pipes."""
    click.echo(line, err=True)


@contextmanager
def progress(*, of_bytes: bool = False) -> Iterator["Progress"]:
    """A progress bar with rate and remaining time on stderr; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    amount = (DownloadColumn(), TransferSpeedColumn()) if of_bytes else (MofNCompleteColumn(),)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), *amount, TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        yield bar


def format_size(size: float) -> str:
    """Bytes as people read them, in powers of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
