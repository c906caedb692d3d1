"""``registry migrate``."""

import click

from registry.console import command, json_option, print_json, settings
from registry.errors import InvalidInput


@click.command()
@click.option("--to", metavar="REVISION", help="Schema to go to.  [default: the newest, or with --down the one before]")
@click.option("--down", is_flag=True, help="Allow an older schema; what only the newer one can hold is lost.")
@json_option
@command
def migrate(to: str | None, down: bool, as_json: bool) -> None:
    """Bring the registry's database to the schema of this program, in one transaction.

    A folder's database is brought there by itself when it is opened; a PostgreSQL database, which other programs
    share, is not.
    """
    from registry.embedded.schema import HEAD, known_revisions, revision
    from registry.embedded.schema import migrate as bring
    from registry.embedded.stores import open_database

    database = open_database(settings())
    try:
        known, found = known_revisions(), revision(database)
        if to is None:
            to = HEAD if not down or found not in known else known[max(known.index(found) - 1, 0)]
        if found in known and to in known and known.index(to) < known.index(found) and not down:
            raise InvalidInput(
                f"{database.place} has the schema {found}; going back to {to} loses what only {found} can hold.",
                f"registry migrate --down --to {to}",
            )
        before, after = bring(database, to)
    finally:
        database.close()
    if as_json:
        print_json({"database": database.place, "from": before, "to": after})
    elif before == after:
        click.echo(f"{database.place} has the schema {after}; nothing was to be done.")
    else:
        click.echo(f"{database.place}: schema {before} -> {after}.")
