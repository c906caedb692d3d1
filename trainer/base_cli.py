"""``adaptory base``: prepare the bases that adapters are trained on and served over, and list them."""

import click

from registry import console
from registry.bases import LocalBases
from registry.optional import require
from registry.refs import valid_name


@click.group()
def base() -> None:
    """Prepare the base model that adapters are trained on and served over.

    \b
    adaptory base prepare ./SmolLM2-135M-Instruct --name smollm2-135m
    adaptory base list
    """


@base.command()
@click.argument("source")
@click.option("--name", required=True, help="What to call it; commands and clients use this name.")
@console.json_option
@console.command
def prepare(source: str, name: str, as_json: bool) -> None:
    """Make the 16-bit and the NF4 form of SOURCE, once.

    SOURCE is a folder in Hugging Face layout, a .gguf file, package:NAME (an installed Python package that holds a
    .gguf file) or a Hugging Face id, perhaps with @COMMIT.
    """
    from trainer import prepare as preparing
    from trainer.source import Source

    bases = LocalBases(console.settings().bases)
    valid_name(name)
    Source.parse(source)
    require("train", {package: package for package in ("torch", "transformers", "bitsandbytes", "accelerate")})
    with console.progress() as bar:
        task = bar.add_task(name, total=len(preparing.STEPS))

        def on_step(step: str) -> None:
            if bar.disable and step != preparing.STEPS[0]:
                console.say(f"{name}: {step}")
            bar.update(task, completed=preparing.STEPS.index(step), description=f"{name}: {step}")

        result = preparing.prepare(source, name, bases, on_step)
    if as_json:
        console.print_json(result.base.to_json() | {"created": result.created})
        return
    done = "Prepared" if result.created else "Already prepared:"
    parameters = f"{result.base.parameters / 1e6:.0f}M parameters"
    click.echo(f"{done} {name} ({parameters}, {len(result.base.modules)} linear layers) {result.base.fingerprint[:19]}")


@base.command("list")
@console.json_option
@console.command
def list_bases(as_json: bool) -> None:
    """List the bases that are prepared on this machine."""
    found = LocalBases(console.settings().bases).list()
    if as_json:
        console.print_json([base.to_json() for base in found])
        return
    rows = [
        (
            base.name,
            base.source,
            f"{base.parameters / 1e6:.0f}M",
            console.format_size(sum(entry.size for entry in base.nf4)),
            base.fingerprint[:19],
        )
        for base in found
    ]
    console.print_table(("name", "source", "parameters", "NF4", "fingerprint"), rows)
