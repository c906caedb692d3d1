"""``registry history``."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import click

from registry.console import command, json_option, print_json, print_table, settings
from registry.errors import InvalidInput, NotFound
from registry.refs import shown, valid_alias

if TYPE_CHECKING:
    from registry.alias import Move


@click.command()
@click.argument("name", metavar="NAME[@ALIAS]")
@click.option("--alias", help="Of this alias only.")
@click.option(
    "--on", metavar="DATE", help="What the alias named then: 2026-11-20 (the end of that day, UTC) or a time."
)
@json_option
@command
def history(name: str, alias: str | None, on: str | None, as_json: bool) -> None:
    """Show every move of the aliases of NAME, oldest first; with --on, what they named at that time."""
    from registry.store import Registry

    name, at, written = name.partition("@")
    if at:
        alias = valid_alias(written)
    moment = _moment(on) if on else None
    registry = Registry.open(settings())
    registry.versions.list(name)
    moves = registry.aliases.history(name, alias)
    if moment:
        moves = _standing(moves, moment)
        if not moves:
            called = f"{name}@{alias} named nothing" if alias else f"No alias of {name} named anything"
            raise NotFound(f"{called} on {on}.", f"registry history {name}")
    if as_json:
        print_json([move.to_json() for move in moves])
        return
    rows = [
        (f"{move.moved:%Y-%m-%d %H:%M:%S}", move.alias, move.kind, move.previous or "", move.number, move.actor,
         "forced" if move.forced else "", move.reason)
        for move in moves
    ]  # fmt: skip
    print_table(("when (UTC)", "alias", "move", "from", "to", "by", "", "reason"), rows)


def _standing(moves: "Sequence[Move]", moment: datetime) -> "Sequence[Move]":
    """The last move of each alias up to a moment: the one that said what it named then."""
    last = {move.alias: move for move in moves if move.moved < moment}
    return [last[alias] for alias in sorted(last)]


def _moment(text: str) -> datetime:
    """The first moment after what a person means; a day without a time counts to its end."""
    try:
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment + (timedelta(days=1) if _is_day(text) else timedelta(microseconds=1))
    except (ValueError, OverflowError):
        raise InvalidInput(f"{shown(text)} is no date.", "Dates look like 2026-11-20 or 2026-11-20T14:30.") from None


def _is_day(text: str) -> bool:
    """Whether it names no time of the day."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
