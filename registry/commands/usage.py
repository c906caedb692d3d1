"""``registry usage``."""

from datetime import datetime

import click

from registry.console import command, json_option, print_json, print_table, settings


@click.command()
@click.option("--key", "id_or_name", help="Of this key only; anonymous is whoever needed none.")
@click.option("--adapter", help="Of this adapter, or base, only.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="From this day (UTC) on.")
@json_option
@command
def usage(id_or_name: str | None, adapter: str | None, since: datetime | None, as_json: bool) -> None:
    """Show requests and tokens for each day, key and version."""
    from registry.api_key import ANONYMOUS
    from registry.store import Registry

    registry = Registry.open(settings())
    ids = None
    if id_or_name:
        ids = [ANONYMOUS] if id_or_name == ANONYMOUS else [key.id for key in registry.keys.find(id_or_name)]
    rows = registry.usage.list(keys=ids, adapter=adapter, since=since.date() if since else None)
    names = {key.id: key.name for key in registry.keys.list()}
    if as_json:
        print_json([row.to_json() | {"key_name": names.get(row.key)} for row in rows])
        return
    if not rows:
        click.echo("Nothing was used.")
        return
    columns = ("day (UTC)", "key", "name", "model", "requests", "tokens in", "tokens out")
    print_table(
        columns,
        [
            (row.day, row.key, names.get(row.key, ""), f"{row.adapter}:{row.number}" if row.number else row.adapter,
             row.requests, row.tokens_in, row.tokens_out)
            for row in rows
        ],
    )  # fmt: skip
