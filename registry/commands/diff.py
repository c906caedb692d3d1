"""``registry diff``."""

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.console import command, json_option, print_json, print_table, progress, settings

if TYPE_CHECKING:
    from registry.diff import Difference
    from registry.store import Registry
    from registry.version import AdapterVersion
    from registry.weight_change import WeightChange

SHOWN_MODULES = 10
SHOWN_CHARACTERS = 60


@click.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@json_option
@command
def diff(first: str, second: str, as_json: bool) -> None:
    """Show in what the versions A and B differ: recipe, data, metrics, LoRA, files, and the weights of each layer.

    The norm is Frobenius' norm of what an adapter adds to a layer's weights.
    """
    from registry.diff import differences
    from registry.store import Registry

    registry = Registry.open(settings())
    versions = registry.versions.get(first), registry.versions.get(second)
    found = list(differences(*(version.manifest for version in versions)))
    changes = _weights(registry, versions)
    if as_json:
        document: dict[str, object] = {"a": versions[0].to_json(), "b": versions[1].to_json()}
        document["differences"] = [one.to_json() for one in found]
        document["weights"] = [
            {"module": one.module, "a": one.first, "b": one.second, "difference": one.difference} for one in changes
        ]
        document["total"] = dict(zip(("a", "b", "difference"), _total(changes), strict=True))
        print_json(document)
        return
    _print(versions, found, changes)


def _weights(registry: "Registry", versions: "tuple[AdapterVersion, AdapterVersion]") -> "Sequence[WeightChange]":
    from registry.weight_change import weight_changes

    first, second = versions
    with tempfile.TemporaryDirectory(prefix="adaptory-diff-") as temporary, progress(of_bytes=True) as bar:
        folders = Path(temporary) / "a", Path(temporary) / "b"
        task = bar.add_task("Comparing", total=first.manifest.size + second.manifest.size)
        for version, folder in zip(versions, folders, strict=True):
            registry.versions.pull(version, folder, on_bytes=lambda size: bar.advance(task, size))
        return list(weight_changes(folders[0], first.manifest.lora, folders[1], second.manifest.lora))


def _total(changes: "Sequence[WeightChange]") -> tuple[float, float, float]:
    """Norms over all layers together."""
    return (
        math.hypot(*(one.first for one in changes)),
        math.hypot(*(one.second for one in changes)),
        math.hypot(*(one.difference for one in changes)),
    )


def _print(
    versions: "tuple[AdapterVersion, AdapterVersion]",
    found: "Sequence[Difference]",
    changes: "Sequence[WeightChange]",
) -> None:
    first, second = map(str, versions)
    if found:
        rows = [(one.part, one.key, _shown(one.first), _shown(one.second)) for one in found]
        print_table(("", "", first, second), rows)
    else:
        click.echo(f"{first} and {second} have the same content.")
    total = _total(changes)
    click.echo(
        f"Weights: what they add to the base has the norm {total[0]:.4g} and {total[1]:.4g} over {len(changes)} "
        f"layers; they are {total[2]:.4g} apart."
    )
    if not total[2]:
        return
    most = sorted(changes, key=lambda one: -one.relative)[:SHOWN_MODULES]
    print_table(
        ("layer", first, second, "apart", "relative"),
        [
            (one.module, f"{one.first:.4g}", f"{one.second:.4g}", f"{one.difference:.4g}", f"{one.relative:.0%}")
            for one in most
        ],
    )
    if len(changes) > len(most):
        click.echo(f"The {len(most)} layers that differ most; registry diff {first} {second} --json has all.")


def _shown(value: object) -> str:
    if value is None:
        return "-"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
