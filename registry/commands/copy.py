"""``registry copy``."""

from contextlib import closing
from dataclasses import replace

import click

from registry.console import command, format_size, json_option, print_json, progress, settings
from registry.settings import Settings


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option("--from-blobs", default="", metavar="PLACE", help="Where SRC's content is, as ADAPTORY_BLOBS says it.")
@click.option("--to-blobs", default="", metavar="PLACE", help="Where DST's content goes.")
@json_option
@command
def copy(source: str, target: str, from_blobs: str, to_blobs: str, as_json: bool) -> None:
    """Copy everything from the registry SRC to the registry DST: a folder, or the URL of a PostgreSQL database.

    A database's content is where --from-blobs or --to-blobs say, or else ADAPTORY_BLOBS; a folder's is in the folder,
    unless they say otherwise. DST has to be empty or an earlier copy of SRC. A copy that was stopped goes on where it
    was when it is started again.

    \b
    registry copy ~/registry postgresql://adaptory@db/registry --to-blobs s3://adapters/registry
    """
    from registry.embedded.copying import Copying
    from registry.embedded.stores import open_stores

    options = settings()
    with (
        closing(open_stores(_at(options, source, from_blobs))) as stores,
        closing(open_stores(_at(options, target, to_blobs))) as others,
        progress(of_bytes=True) as bar,
    ):
        task = bar.add_task("Copying", total=None)
        copied = Copying(stores, others).run(
            lambda total: bar.update(task, total=total),
            lambda size: bar.advance(task, size),
        )
    if as_json:
        print_json({"blobs": copied.blobs, "size": copied.size, "present": copied.present, "rows": copied.rows})
        return
    there = f"{format_size(copied.size)}; {copied.present} were there"
    click.echo(f"Copied {copied.blobs} blobs ({there}) and {copied.rows} rows. registry verify proves them.")


def _at(options: Settings, registry: str, blobs: str) -> Settings:
    """Settings of one side; ADAPTORY_BLOBS is meant for a database, a folder has its own content."""
    shared = options.blobs if registry.startswith("postgres") else ""
    return replace(options, registry=registry, blobs=blobs or shared)
