"""``registry deprecate`` and ``registry tag``."""

import click

from registry.console import command, json_option, print_json, print_table, settings
from registry.errors import InvalidInput
from registry.tags import parse_tags


@click.command()
@click.argument("ref")
@click.option("--reason", default="", help="Why it should no longer be used, and what to use instead.")
@click.option("--undo", is_flag=True, help="Take the mark back.")
@json_option
@command
def deprecate(ref: str, reason: str, undo: bool, as_json: bool) -> None:
    """Mark the version that REF names as one that should no longer be used.

    It can still be served and pulled; show, list and the server's /v1/models say so.
    """
    from registry.store import Registry

    if undo == bool(reason):
        raise InvalidInput("Give either a reason or --undo.", f"registry deprecate {ref} --reason WHY")
    options = settings()
    registry = Registry.open(options)
    if undo:
        version = registry.marks.undo(ref, actor=options.actor)
        if as_json:
            print_json(version.to_json() | {"deprecated": None})
        else:
            click.echo(f"{version} is not deprecated.")
        return
    mark = registry.marks.deprecate(ref, actor=options.actor, reason=reason)
    if as_json:
        print_json(mark.to_json())
    else:
        click.echo(f"{mark} is deprecated: {mark.reason}")


@click.command()
@click.argument("ref")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--remove", multiple=True, metavar="KEY", help="Take a tag away; may be given again.")
@json_option
@command
def tag(ref: str, pairs: tuple[str, ...], remove: tuple[str, ...], as_json: bool) -> None:
    """Set tags of the version that REF names; without KEY=VALUE and --remove, show them."""
    from registry.store import Registry

    options = settings()
    add = parse_tags(pairs)
    registry = Registry.open(options)
    if add or remove:
        tags = registry.marks.tag(ref, add, remove, actor=options.actor)
    else:
        version = registry.versions.get(ref)
        tags = registry.marks.tags(version.name).get((version.name, version.number), {})
    if as_json:
        print_json(dict(tags))
    elif tags:
        print_table(("tag", "value"), sorted(tags.items()))
    else:
        click.echo(f"{ref} has no tags: registry tag {ref} KEY=VALUE")
