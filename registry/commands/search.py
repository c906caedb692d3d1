"""``registry search``."""

import click

from registry.console import command, json_option, print_json, print_table, settings
from registry.tags import parse_tags


@click.command()
@click.argument("text", nargs=-1)
@click.option("-t", "--tag", "tags", multiple=True, metavar="KEY=VALUE", help="Has this tag; may be given again.")
@click.option("--base", metavar="NAME", help="Is for this base.")
@click.option("--metric", "metrics", multiple=True, metavar="BOUND", help="Keeps a bound, such as 'field_f1>=0.8'.")
@click.option("--alias", metavar="ALIAS", is_flag=False, flag_value="", help="An alias names it: ALIAS, or any.")
@click.option("--deprecated/--not-deprecated", default=None, help="Is deprecated, or is not.")
@json_option
@command
def search(
    text: tuple[str, ...],
    tags: tuple[str, ...],
    base: str | None,
    metrics: tuple[str, ...],
    alias: str | None,
    deprecated: bool | None,
    as_json: bool,
) -> None:
    """Find versions whose name, note, tags or base have every word of TEXT, and that have all that is asked for.

    A metric is a score of the newest report that has it, or else what the trainer measured.
    """
    from registry.search import Condition, Query
    from registry.search import search as look
    from registry.store import Registry

    query = Query(
        text=" ".join(text),
        tags=parse_tags(tags),
        base=base,
        conditions=tuple(Condition.parse(metric) for metric in metrics),
        alias=alias,
        deprecated=deprecated,
    )
    found = list(look(Registry.open(settings()), query))
    if as_json:
        print_json([one.to_json() for one in found])
        return
    if not found:
        click.echo("No version fits: registry list")
        return
    asked = list(dict.fromkeys(condition.metric for condition in query.conditions))
    rows = [
        (one.version, ", ".join(one.aliases), one.version.manifest.base_name,
         *(f"{one.metrics[metric]:.4g}" for metric in asked),
         ", ".join(f"{key}={value}" for key, value in one.tags.items()),
         f"deprecated: {one.deprecation.reason}" if one.deprecation else "", one.version.note)
        for one in found
    ]  # fmt: skip
    print_table(("version", "aliases", "base", *asked, "tags", "mark", "note"), rows)
