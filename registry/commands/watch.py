"""``registry watch``."""

import json
from typing import TYPE_CHECKING

import click

from registry.console import command, json_option, settings

if TYPE_CHECKING:
    from registry.event import Event


@click.command()
@click.argument("name", required=False)
@click.option("--kind", "kinds", multiple=True, help="version, alias, report, ...; may be repeated.  [default: all]")
@click.option("--after", type=click.IntRange(0), metavar="ID", help="Begin after this event; 0 is the very beginning.")
@json_option
@command
def watch(name: str | None, kinds: tuple[str, ...], after: int | None, as_json: bool) -> None:
    """Print what happens in the registry, or to NAME ('team/*' fits several), as it happens, until Ctrl-C.

    With --json each event is a line. --after the last id that was seen goes on without a gap.
    """
    from registry.event import valid_kinds
    from registry.store import Registry
    from registry.webhook import valid_names

    wanted, names = valid_kinds(kinds), valid_names([name] if name else [])
    registry = Registry.open(settings())
    try:
        if not as_json:
            click.secho(f"{'id':>6}  {'when (UTC)':19}  {'what':8}  of", bold=True)
        beginning = registry.events.last_id(fresh=True) if after is None else after
        for event in registry.events.follow(beginning, kinds=wanted, names=names):
            click.echo(json.dumps(event.to_json(), ensure_ascii=False) if as_json else _line(event))
    finally:
        registry.close()


def _line(event: "Event") -> str:
    change = " ".join(f"{key}={str(value)[:40].removeprefix('sha256:')[:32]}" for key, value in event.payload.items())
    return f"{event.id:6}  {event.created:%Y-%m-%d %H:%M:%S}  {event.kind:8}  {event.subject}  {change}"
