"""``registry check``: admission alone, and a table of the engines that would take the adapter."""

from pathlib import Path

import click

from registry.admission import admit, prove_base
from registry.commands.push import base_option, folder_argument, prepared_base
from registry.console import command, format_size, json_option, print_json, print_table, settings
from registry.errors import InvalidAdapter
from registry.run_folder import kept_files, read_record


@click.command()
@folder_argument
@base_option
@json_option
@command
def check(folder: Path, base_name: str | None, as_json: bool) -> None:
    """Prove that the adapter in FOLDER fits its base, keep nothing, and say which engines would take it."""
    from registry.portability import portability

    files = kept_files(folder)
    base = prepared_base(settings(), folder, base_name)
    if base is None:
        raise InvalidAdapter(f"The base of {folder} is not prepared here.", "Name a prepared one with --base NAME.")
    prove_base(read_record(folder), base)
    admitted = admit(folder, base)
    table = portability(admitted, base)
    size = sum((folder / file).stat().st_size for file in files)
    lora, layers = admitted.lora, len(admitted.modules)
    if as_json:
        print_json(
            {"base": base.name, "base_fingerprint": base.fingerprint, "rank": lora.rank, "alpha": lora.alpha}
            | {"target_modules": list(lora.target_modules), "modules": layers, "dtypes": list(admitted.dtypes)}
            | {"files": files, "size": size, "portability": [verdict.to_json() for verdict in table]}
        )
        return
    click.echo(
        f"Fits {base.name}: rank {lora.rank}, {layers} layers, {format_size(size)}; "
        f"registry push {folder} NAME keeps it.\n"
    )
    print_table(("engine", "", ""), [(verdict.engine, verdict.answer, verdict.detail) for verdict in table])
