"""``registry list``."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from registry.console import command, format_size, json_option, print_json, print_table, settings

if TYPE_CHECKING:
    from registry.deletion import Deletion
    from registry.deprecation import Deprecation
    from registry.version import AdapterVersion

COLUMNS = ("version", "aliases", "base", "rank", "size", "created", "by", "digest", "note")


@click.command(name="list")
@click.argument("name", required=False)
@click.option("--all", "everything", is_flag=True, help="Also versions that are marked for deletion or gone.")
@json_option
@command
def list_versions(name: str | None, everything: bool, as_json: bool) -> None:
    """List the versions of NAME, or of every adapter."""
    from registry.store import Registry

    registry = Registry.open(settings())
    versions = registry.versions.list(name)
    deletions = registry.deletions.list(name) if everything else []
    marks = {(mark.name, mark.number): mark for mark in registry.marks.deprecations(name)}
    aliases: dict[tuple[str, int], list[str]] = {}
    for alias in registry.aliases.list(name):
        aliases.setdefault((alias.name, alias.number), []).append(alias.alias)
    rows: list[AdapterVersion | Deletion] = sorted([*versions, *deletions], key=lambda one: (one.name, one.number))
    if as_json:
        print_json([_document(one, aliases, marks) for one in rows])
    elif rows:
        print_table(COLUMNS, [_row(one, aliases, marks) for one in rows])
    else:
        click.echo("Nothing was pushed yet: registry push FOLDER NAME")


def _document(
    one: "AdapterVersion | Deletion",
    aliases: Mapping[tuple[str, int], Sequence[str]],
    marks: "Mapping[tuple[str, int], Deprecation]",
) -> dict[str, Any]:
    from registry.deletion import Deletion

    if isinstance(one, Deletion):
        document = one.to_json()
        return {"name": document.pop("name"), "version": document.pop("number"), **document}
    key = one.name, one.number
    mark = marks.get(key)
    return one.to_json() | {"aliases": list(aliases.get(key, ())), "deprecated": mark.to_json() if mark else None}


def _row(
    one: "AdapterVersion | Deletion",
    aliases: Mapping[tuple[str, int], Sequence[str]],
    marks: "Mapping[tuple[str, int], Deprecation]",
) -> tuple[object, ...]:
    from registry.deletion import Deletion

    if isinstance(one, Deletion):
        return (one, "", "", "", "", "", "", one.digest[:19], one.told.removeprefix(f"{one} "))
    manifest, mark = one.manifest, marks.get((one.name, one.number))
    note = f"deprecated: {mark.reason}" + (f" ({one.note})" if one.note else "") if mark else one.note
    return (
        one,
        ", ".join(aliases.get((one.name, one.number), ())),
        manifest.base_name,
        manifest.lora.rank,
        format_size(manifest.size),
        f"{one.created:%Y-%m-%d %H:%M}",
        one.actor,
        one.digest[:19],
        note,
    )
