"""``registry push``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.base_model import BaseModel
from registry.bases import LocalBases
from registry.commands.sign import sign_option, sign_push
from registry.console import command, json_option, print_json, progress, settings
from registry.refs import valid_alias
from registry.run_folder import kept_files, read_record
from registry.settings import Settings

if TYPE_CHECKING:
    from registry.alias import Alias
    from registry.version import Push

folder_argument = click.argument("folder", type=click.Path(path_type=Path))
base_option = click.option("--base", "base_name", metavar="NAME", help="Base it was trained on, if it does not say so.")


@click.command()
@folder_argument
@click.argument("name")
@base_option
@click.option("--note", default="", help="A line for people.")
@click.option("--alias", metavar="ALIAS", help="Promote the version at once, for example to canary.")
@sign_option
@json_option
@command
def push(
    folder: Path,
    name: str,
    base_name: str | None,
    note: str,
    alias: str | None,
    keys: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Prove that the adapter in FOLDER fits its base, and keep it as the next version of NAME."""
    from registry.store import Registry

    options = settings()
    if alias is not None:
        valid_alias(alias)
    files = kept_files(folder)
    base = prepared_base(options, folder, base_name)
    registry = Registry.open(options)
    signatures = sign_push(registry, folder, base, keys, options)
    with progress(of_bytes=True) as bar:
        task = bar.add_task(f"Pushing {name}", total=sum((folder / file).stat().st_size for file in files))
        pushed = registry.versions.push(
            folder,
            name,
            actor=options.actor,
            base=base,
            note=note,
            signatures=signatures,
            on_bytes=lambda size: bar.advance(task, size),
        )
    moved = None
    try:
        if alias is not None:
            moved = registry.aliases.promote(str(pushed.version), alias, actor=options.actor, reason="push --alias")
    finally:  # the version is there, whatever became of the alias
        _print(pushed, moved, as_json)


def _print(pushed: "Push", moved: "Alias | None", as_json: bool) -> None:
    if as_json:
        print_json(pushed.version.to_json() | {"new": pushed.created, "alias": moved.alias if moved else None})
        return
    remark = "" if pushed.created else "  (the same content was pushed before)"
    click.echo(f"{pushed.version}  {pushed.version.digest}{remark}")
    if moved:
        click.echo(f"{moved} is now {pushed.version}")


def prepared_base(options: Settings, folder: Path, name: str | None) -> BaseModel | None:
    """The prepared base that is meant; None leaves it to what the registry knows."""
    bases = LocalBases(options.bases)
    if name is not None:
        return bases.get(name)
    fingerprint = read_record(folder).base_fingerprint
    return next((base for base in bases.list() if base.fingerprint == fingerprint), None)
