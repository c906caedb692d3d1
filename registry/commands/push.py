"""``registry push`` and ``registry check``."""

from pathlib import Path

import click

from registry.admission import admit
from registry.base_model import BaseModel
from registry.bases import LocalBases
from registry.console import command, format_size, json_option, print_json, progress, settings
from registry.errors import InvalidAdapter
from registry.refs import valid_alias
from registry.run_folder import kept_files, read_record
from registry.settings import Settings

folder_argument = click.argument("folder", type=click.Path(path_type=Path))
base_option = click.option("--base", "base_name", metavar="NAME", help="Base it was trained on, if it does not say so.")


@click.command()
@folder_argument
@click.argument("name")
@base_option
@click.option("--note", default="", help="A line for people.")
@click.option("--alias", metavar="ALIAS", help="Promote the version at once, for example to canary.")
@json_option
@command
def push(folder: Path, name: str, base_name: str | None, note: str, alias: str | None, as_json: bool) -> None:
    """Prove that the adapter in FOLDER fits its base, and keep it as the next version of NAME."""
    from registry.store import Registry

    options = settings()
    if alias is not None:
        valid_alias(alias)
    files = kept_files(folder)
    base = _base(options, folder, base_name)
    with progress(of_bytes=True) as bar:
        task = bar.add_task(f"Pushing {name}", total=sum((folder / file).stat().st_size for file in files))
        registry = Registry.open(options)
        pushed = registry.versions.push(
            folder,
            name,
            actor=options.actor,
            base=base,
            note=note,
            on_bytes=lambda size: bar.advance(task, size),
        )
    if alias is not None:
        registry.aliases.promote(str(pushed.version), alias, actor=options.actor, reason="push --alias")
    if as_json:
        print_json(pushed.version.to_json() | {"new": pushed.created, "alias": alias})
        return
    remark = "" if pushed.created else "  (the same content was pushed before)"
    click.echo(f"{pushed.version}  {pushed.version.digest}{remark}")


@click.command()
@folder_argument
@base_option
@json_option
@command
def check(folder: Path, base_name: str | None, as_json: bool) -> None:
    """Prove that the adapter in FOLDER fits its base, and keep nothing."""
    files = kept_files(folder)
    base = _base(settings(), folder, base_name)
    if base is None:
        raise InvalidAdapter(f"The base of {folder} is not prepared here.", "Name a prepared one with --base NAME.")
    admitted = admit(folder, base)
    size = sum((folder / file).stat().st_size for file in files)
    if as_json:
        lora = admitted.lora
        print_json({"base": base.name, "rank": lora.rank, "alpha": lora.alpha, "modules": len(admitted.modules)})
        return
    click.echo(
        f"Fits {base.name}: rank {admitted.lora.rank}, {len(admitted.modules)} layers, {format_size(size)}; "
        f"registry push {folder} NAME keeps it."
    )


def _base(options: Settings, folder: Path, name: str | None) -> BaseModel | None:
    """The prepared base that is meant; None leaves it to what the registry knows."""
    bases = LocalBases(options.bases)
    if name is not None:
        return bases.get(name)
    fingerprint = read_record(folder).base_fingerprint
    return next((base for base in bases.list() if base.fingerprint == fingerprint), None)
