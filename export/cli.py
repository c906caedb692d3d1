"""The command ``adaptory export``."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from export.plan import QUANTS, ExportPlan, Form, MergeBase, choose_quant, find_base
from export.steps import Steps
from registry import console
from registry.artifact import Artifact
from registry.bases import LocalBases

if TYPE_CHECKING:
    from registry.settings import Settings
    from registry.store import Registry
    from registry.version import AdapterVersion


@click.command()
@click.argument("ref")
@click.option("--to", "form", type=click.Choice(["gguf", "merged-16bit"]), required=True, help="What to make of it.")
@click.option("--quant", type=click.Choice(list(QUANTS)), help="Form of the GGUF's weights.  [default: q4_k_m]")
@click.option("--out", type=click.Path(path_type=Path), help="Also place it there: a file for gguf, else a folder.")
@click.option(
    "--merge-base",
    type=click.Choice(["nf4", "original"]),
    default="nf4",
    show_default=True,
    help="Merge into the dequantised 4-bit base that it was trained on, or into the original 16-bit weights.",
)
@click.option("--drift/--no-drift", default=True, show_default=True, help="Measure how far it is from the version.")
@console.json_option
@console.command
def export(
    ref: str, form: str, quant: str | None, out: Path | None, merge_base: str, drift: bool, as_json: bool
) -> None:
    """Turn a version into merged 16-bit weights or a GGUF, and keep the result with the version.

    \b
    adaptory export support@prod --to gguf --out support.gguf
    adaptory export support:4 --to gguf --quant q8_0
    adaptory export support:4 --to merged-16bit --out ./support-merged

    Merging into the dequantised 4-bit base is what keeps what the adapter learned: it was trained on those weights.
    """
    from export.place import Place
    from registry.store import Registry

    settings, steps = console.settings(), Steps()
    chosen = choose_quant(cast("Form", form), quant)
    registry = Registry.open(settings)
    try:
        version = registry.versions.get(ref)
        plan = _plan(version, settings, cast("Form", form), chosen, cast("MergeBase", merge_base))
        artifact = registry.artifacts.find(version.digest, form, chosen)
        known = artifact is not None and artifact.recipe.get("merge_base") == merge_base
        place = Place.of(out, plan.form, f"{plan.stem}.gguf") if out else None
        if place:
            place.check_free(artifact if known else None)
        if artifact is None or not known:
            if artifact:
                console.say(f"The {chosen} of {version} that is merged into the other base is replaced.")
            artifact = _make(plan, settings, registry, steps, drift=drift)
        if place:
            place.put(artifact, registry, steps)
    finally:
        registry.close()
    _report(artifact, version, place.path if place else None, exported=not known, as_json=as_json)


def _plan(version: "AdapterVersion", settings: "Settings", form: Form, quant: str, merge_base: MergeBase) -> ExportPlan:
    base = find_base(version, LocalBases(settings.bases))
    return ExportPlan(version=version, base=base, form=form, quant=quant, merge_base=merge_base)


def _make(plan: ExportPlan, settings: "Settings", registry: "Registry", steps: Steps, *, drift: bool) -> Artifact:
    from export.build import build

    with build(plan, settings, registry, steps, drift=drift) as built:
        artifact = Artifact(
            version_digest=plan.version.digest,
            form=plan.form,
            quant=plan.quant,
            files=(),
            recipe=built.recipe,
            drift=built.drift,
        )
        size = sum(file.stat().st_size for file in built.folder.rglob("*") if file.is_file())
        with steps.bytes("keeping it with the version", size) as on_bytes:
            return registry.artifacts.add(artifact, built.folder, on_bytes)


def _report(artifact: Artifact, version: "AdapterVersion", path: Path | None, *, exported: bool, as_json: bool) -> None:
    if as_json:
        more: dict[str, Any] = {"version": str(version), "exported": exported, "path": str(path) if path else None}
        console.print_json(artifact.to_json() | more)
        return
    what = f"{version} as {artifact.form} {artifact.quant}, {console.format_size(artifact.size)}"
    click.echo(f"Exported {what}." if exported else f"{what}: exported before, nothing to do.")
    for note in artifact.recipe.get("notes", []):
        click.echo(f"Note: {note}")
    if artifact.drift:
        agreement, delta = artifact.drift["top1_agreement"], artifact.drift["mean_abs_logprob"]
        click.echo(f"Drift from the version as served: same first choice {agreement:.1%}, |Δ log p| {delta:.3f}.")
    if path:
        click.echo(f"Placed at {path}.")
    elif artifact.form == "gguf":
        click.echo(f'Next: adaptory chat {version} --local "…"')
