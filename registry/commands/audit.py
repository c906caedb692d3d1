"""``registry audit``."""

from datetime import UTC, datetime

import click

from registry.console import command, json_option, print_json, print_table, settings


@click.command()
@click.argument("name", required=False)
@click.option("--actor", help="By this one only: who they say they are, or the id of their key.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="From this time (UTC) on.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=200, show_default=True, help="The newest so many.")
@json_option
@command
def audit(name: str | None, actor: str | None, since: datetime | None, limit: int, as_json: bool) -> None:
    """Show who did what: every change of NAME (an adapter, base, key or webhook), or of everything, oldest first."""
    from registry.store import Registry

    at = since.replace(tzinfo=UTC) if since else None
    entries = Registry.open(settings()).audit.list(name, actor=actor, since=at, limit=limit)
    if as_json:
        print_json([entry.to_json() for entry in entries])
        return
    if not entries:
        click.echo("Nothing was done.")
        return
    rows = [
        (f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.actor, entry.key, entry.action, entry.subject,
         " ".join(f"{key}={str(value)[:19]}" for key, value in entry.detail.items()), entry.result)
        for entry in entries
    ]  # fmt: skip
    print_table(("when (UTC)", "who", "key", "did", "to", "with", "result"), rows)
