"""``registry delete``, ``registry restore`` and ``registry gc``."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from registry.console import command, format_size, json_option, print_json, progress, settings
from registry.deletion import GRACE, MAX_GRACE

if TYPE_CHECKING:
    from registry.collected import Collected


@click.command()
@click.argument("ref")
@click.option("--reason", default="", help="Why; it stays with the tombstone.")
@click.option(
    "--grace-days",
    default=GRACE.days,
    show_default=True,
    type=click.FloatRange(0, MAX_GRACE.days),
    help="How long it can be restored.",
)
@json_option
@command
def delete(ref: str, reason: str, grace_days: float, as_json: bool) -> None:
    """Mark the version that REF names for deletion; registry gc removes it when its time of grace is over.

    Refused while an alias, a release, a running server or a retention rule names it. Nobody can name a marked version.
    """
    from registry.store import Registry

    options = settings()
    registry = Registry.open(options)
    grace = timedelta(days=grace_days)
    deletion = registry.deletions.mark(ref, actor=options.actor, reason=reason, grace=grace)
    if as_json:
        print_json(deletion.to_json())
        return
    click.echo(f"{deletion} goes with the first registry gc after {deletion.due:%Y-%m-%d %H:%M} UTC.")
    click.echo(f"Until then: registry restore {deletion}")


@click.command()
@click.argument("ref")
@json_option
@command
def restore(ref: str, as_json: bool) -> None:
    """Undo the deletion of the version REF, such as support:3, while registry gc has not removed it."""
    from registry.store import Registry

    options = settings()
    version = Registry.open(options).deletions.restore(ref, actor=options.actor)
    if as_json:
        print_json(version.to_json())
    else:
        click.echo(f"{version}  {version.digest}  is back.")


@click.command()
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be done.")
@json_option
@command
def gc(dry_run: bool, as_json: bool) -> None:
    """Apply retention rules, carry out deletions that are due, and remove content that nothing names.

    Content of the last hour is left alone: it may belong to a push that is under way.
    """
    from registry.store import Registry

    options = settings()
    registry = Registry.open(options)
    with progress() as bar:
        bar.add_task("Looking for what nothing names", total=None)
        collected = registry.collection.run(actor=options.actor, dry_run=dry_run)
    if as_json:
        print_json(collected.to_json() | {"dry_run": dry_run})
    else:
        _print(collected, dry_run)


def _print(collected: "Collected", dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    for one in collected.marked:
        click.echo(f"{one} {would}marked for deletion, until {one.due:%Y-%m-%d %H:%M} UTC: {one.reason}.")
    for one, reason in collected.kept:
        click.echo(f"{one} was due, and stays: {reason} registry restore {one}")
    for one in collected.removed:
        click.echo(f"{one} {would}removed; it was deleted by {one.actor} on {one.marked:%Y-%m-%d}.")
    click.echo(f"{collected.blobs} blobs {would}removed, {format_size(collected.size)}.")
