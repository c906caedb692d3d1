"""``adaptory top``."""

import contextlib
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from registry import console
from registry.errors import Unavailable

if TYPE_CHECKING:
    from serve.watching.watcher import Watcher

REFRESH_SECONDS = 1.0
LINES_AROUND = 11
"""Of the screen, for everything but the adapters: title, totals, heading, "more", failures."""

PLAIN_WIDTH = 140
"""Columns where there is no terminal."""


@click.command()
@click.option("--server", help="URL of the server.  [default: ADAPTORY_SERVER, or http://127.0.0.1:8000]")
@click.option("--once", is_flag=True, help="Look for a second, print, and end.")
@console.json_option
@console.command
def top(server: str | None, once: bool, as_json: bool) -> None:
    """Watch a server: adapters, slots, queues and rates.

    \b
    adaptory top
    adaptory top --once --json | jq .tokens

    Rates and percentiles are of the last ten seconds. It asks /metrics once a second and /v1/models every five, so any
    server that can be reached can be watched; q or Ctrl-C ends it. --json looks once. Where keys are needed, one with
    the scopes read and infer is taken from ADAPTORY_API_KEY.
    """
    from registry.optional import require

    require("top", {"prometheus_client": "prometheus-client"})
    from serve.watching.watcher import Watcher

    settings = console.settings()
    url = (server or settings.server).rstrip("/").removesuffix("/v1")
    with Watcher(url, settings.api_key) as watcher:
        if once or as_json or not sys.stdout.isatty():
            _once(watcher, url, as_json)
        else:
            _live(watcher, url)


def _once(watcher: "Watcher", url: str, as_json: bool) -> None:
    """Two looks, REFRESH_SECONDS apart."""
    try:
        watcher.look()
        time.sleep(REFRESH_SECONDS)
        view = watcher.look()
    except Unavailable as error:
        raise Unavailable(f"{url} does not answer: {error.message}.", "Name the server with --server URL.") from error
    if as_json:
        console.print_json(view.to_json())
        return
    from rich.console import Console

    from serve.watching.top_screen import screen

    terminal = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    terminal.print(screen(url, view, "", len(view.rows), terminal.width))


def _live(watcher: "Watcher", url: str) -> None:
    """Until q or Ctrl-C; a server that goes away is waited for."""
    from rich.console import Console
    from rich.live import Live

    from serve.watching.top_screen import screen

    terminal, view = Console(), None
    with _keys() as pressed, Live(console=terminal, screen=True, auto_refresh=False) as live:
        while True:
            away = ""
            try:
                view = watcher.look()
            except Unavailable as error:
                away = error.message
            shown = screen(url, view, away, max(1, terminal.height - LINES_AROUND), terminal.width)
            live.update(shown, refresh=True)
            if pressed(REFRESH_SECONDS).lower() == "q":
                return


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """Keys without Enter: a function that waits so many seconds for one, and returns it or an empty string."""
    import termios
    import tty

    if not sys.stdin.isatty():
        yield _no_key
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield lambda seconds: os.read(descriptor, 1).decode(errors="replace") if _ready(descriptor, seconds) else ""
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _no_key(seconds: float) -> str:
    time.sleep(seconds)
    return ""


def _ready(descriptor: int, seconds: float) -> bool:
    return bool(select.select([descriptor], [], [], seconds)[0])
