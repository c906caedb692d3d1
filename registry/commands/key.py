"""``registry key create``, ``list`` and ``revoke``."""

import re
from datetime import timedelta
from typing import TYPE_CHECKING

import click

from registry.console import command, json_option, print_json, print_table, say, settings
from registry.errors import InvalidInput
from registry.refs import shown

if TYPE_CHECKING:
    from registry.api_key import ApiKey

UNITS = {"h": "hours", "d": "days", "w": "weeks"}


@click.group(name="key")
def key() -> None:
    """Give people and programs keys, and take them away."""


@key.command()
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="read, push, promote, infer or admin.  [default: infer]")
@click.option("--adapter", "adapters", multiple=True, help="Name or pattern ('team/*') to allow.  [default: all]")
@click.option("--expires", metavar="TIME", help="When it stops working: 12h, 90d or 8w from now.  [default: never]")
@click.option("--requests-per-minute", type=click.IntRange(1), help="[default: no limit]")
@click.option("--tokens-per-minute", type=click.IntRange(1), help="Prompts and answers together.  [default: no limit]")
@click.option("--concurrent", type=click.IntRange(1), help="Requests at once.  [default: no limit]")
@click.option("--weight", type=click.FloatRange(0.01, 100), default=1.0, show_default=True, help="Share of the engine.")
@json_option
@command
def create(
    name: str,
    scopes: tuple[str, ...],
    adapters: tuple[str, ...],
    expires: str | None,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    concurrent: int | None,
    weight: float,
    as_json: bool,
) -> None:
    """Make the key NAME and print its secret, this once.

    \b
    registry key create ci --adapter 'team/*' --expires 90d --tokens-per-minute 20000
    """
    from registry.api_key import Limits
    from registry.store import Registry

    options = settings()
    limits = Limits(requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute, concurrent=concurrent)
    made = Registry.open(options).keys.create(
        name,
        actor=options.actor,
        scopes=scopes or ("infer",),
        adapters=adapters,
        limits=limits,
        weight=weight,
        lifetime=_lifetime(expires) if expires else None,
    )
    if as_json:
        print_json(made.key.to_json() | {"secret": made.token})
        return
    say(f"The secret of {made.key.name} ({made.key.id}); it is shown this once and kept nowhere:")
    click.echo(made.token)


@key.command(name="list")
@json_option
@command
def list_keys(as_json: bool) -> None:
    """List every key, those that no longer work too; never a secret."""
    from registry.store import Registry

    keys = Registry.open(settings()).keys.list()
    if as_json:
        print_json([each.to_json() for each in keys])
        return
    if not keys:
        click.echo("There is no key: registry key create NAME")
        return
    columns = ("id", "name", "scopes", "adapters", "limits", "weight", "created", "expires", "last used", "revoked")
    print_table(columns, [_row(each) for each in keys])


@key.command()
@click.argument("key", metavar="ID|NAME")
@json_option
@command
def revoke(key: str, as_json: bool) -> None:
    """Stop a key for good; servers refuse it within a second."""
    from registry.store import Registry

    revoked = Registry.open(settings()).keys.revoke(key)
    if as_json:
        print_json([each.to_json() for each in revoked])
        return
    for each in revoked:
        click.echo(f"{each.name} ({each.id}) works no longer")


def _lifetime(text: str) -> timedelta:
    found = re.fullmatch(r"([1-9][0-9]{0,3})([hdw])", text)
    if not found:
        raise InvalidInput(f"{shown(text)} is no time for --expires.", "Write 12h, 90d or 8w.")
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def _row(key: "ApiKey") -> tuple[object, ...]:
    limits = key.limits
    amounts = (
        (limits.requests_per_minute, "requests/min"),
        (limits.tokens_per_minute, "tokens/min"),
        (limits.concurrent, "at once"),
    )
    times = (key.created, key.expires, key.last_used, key.revoked)
    return (
        key.id,
        key.name,
        ", ".join(key.scopes),
        ", ".join(key.adapters) or "all",
        ", ".join(f"{amount} {unit}" for amount, unit in amounts if amount) or "none",
        f"{key.weight:g}",
        *(f"{time:%Y-%m-%d %H:%M}" if time else "" for time in times),
    )
