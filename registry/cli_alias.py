"""``registry promote``, ``rollback`` and ``history``."""

import click

from registry.console import command, json_option, print_json, print_table, settings

reason_option = click.option("--reason", default="", help="Why; it goes into the history.")


@click.command()
@click.argument("ref")
@click.argument("alias")
@reason_option
@click.option("--force", is_flag=True, help="Overrule the gate; needs --reason.")
@json_option
@command
def promote(ref: str, alias: str, reason: str, force: bool, as_json: bool) -> None:
    """Let ALIAS name the version REF. The alias prod needs a passing report for the profile that serves."""
    from registry.store import Registry

    options = settings()
    moved = Registry.open(options).aliases.promote(ref, alias, actor=options.actor, reason=reason, force=force)
    if as_json:
        print_json(moved.to_json())
        return
    click.echo(f"{moved} is now {moved.name}:{moved.number}")


@click.command()
@click.argument("name")
@click.argument("alias")
@click.option("--to", type=click.IntRange(min=1), help="Version to go back to; the one before by default.")
@reason_option
@json_option
@command
def rollback(name: str, alias: str, to: int | None, reason: str, as_json: bool) -> None:
    """Let ALIAS of the adapter NAME name the version again that it named before."""
    from registry.store import Registry

    options = settings()
    moved = Registry.open(options).aliases.rollback(name, alias, actor=options.actor, reason=reason, to=to)
    if as_json:
        print_json(moved.to_json())
        return
    click.echo(f"{moved} is {moved.name}:{moved.number} again")


@click.command()
@click.argument("name")
@click.option("--alias", help="Of this alias only.")
@json_option
@command
def history(name: str, alias: str | None, as_json: bool) -> None:
    """Show every move of the aliases of NAME, oldest first."""
    from registry.store import Registry

    registry = Registry.open(settings())
    registry.versions.list(name)
    moves = registry.aliases.history(name, alias)
    if as_json:
        print_json([move.to_json() for move in moves])
        return
    rows = [
        (f"{move.moved:%Y-%m-%d %H:%M:%S}", move.alias, move.kind, move.previous or "", move.number, move.actor,
         "forced" if move.forced else "", move.reason)
        for move in moves
    ]  # fmt: skip
    print_table(("when (UTC)", "alias", "move", "from", "to", "by", "", "reason"), rows)
