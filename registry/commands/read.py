"""``registry show``."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from registry.commands.sign import print_signatures
from registry.console import command, format_size, json_option, print_json, print_table, settings

if TYPE_CHECKING:
    from registry.artifact import Artifact
    from registry.deprecation import Deprecation
    from registry.report import EvalReport
    from registry.version import AdapterVersion

PARENT = "parent_adapter"
"""Of a record's data: the digest of the weights that were trained further."""


@click.command()
@click.argument("ref")
@json_option
@command
def show(ref: str, as_json: bool) -> None:
    """Show everything about the version that REF names."""
    from registry.store import Registry

    registry = Registry.open(settings())
    version = registry.versions.get(ref)
    aliases = [alias.alias for alias in registry.aliases.list(version.name) if alias.number == version.number]
    reports = registry.reports.list(version.digest)
    artifacts = registry.artifacts.list(version.digest)
    signatures = registry.signatures.list(version.digest)
    family = registry.versions.list(version.name) if PARENT in version.manifest.data else ()
    lineage = _lineage(version, family)
    tags = registry.marks.tags(version.name).get((version.name, version.number), {})
    mark = next((one for one in registry.marks.deprecations(version.name) if one.number == version.number), None)
    if as_json:
        document = version.to_json() | {"manifest": version.manifest.to_json(), "aliases": aliases}
        document["reports"] = [report.to_json() for report in reports]
        document["artifacts"] = [artifact.to_json() for artifact in artifacts]
        document["signatures"] = [signature.to_json() for signature in signatures]
        document["lineage"] = lineage
        document["tags"] = dict(tags)
        document["deprecated"] = mark.to_json() if mark else None
        print_json(document)
        return
    _print_facts(version, lineage, aliases, tags, mark)
    _print_files(version)
    _print_reports(reports)
    _print_artifacts(artifacts)
    print_signatures(signatures)


def _lineage(version: "AdapterVersion", family: "Sequence[AdapterVersion]") -> dict[str, str]:
    """Where a version comes from, as far as its record says so: base, data, code, and what was trained further.

    That is a version of the ``family``, or else the digest of its weights, where it has another name or none.
    """
    manifest = version.manifest
    weights = manifest.data.get(PARENT)
    parents = (str(one) for one in family if any(file.digest == weights for file in one.manifest.files))
    facts = {
        "base": f"{manifest.base_name}@{manifest.base_fingerprint}",
        "data": manifest.data.get("digest"),
        "code": manifest.code.get("commit"),
        "parent": next(parents, weights),
    }
    return {name: value for name, value in facts.items() if isinstance(value, str) and value}


def _print_facts(
    version: "AdapterVersion",
    lineage: Mapping[str, str],
    aliases: Sequence[str],
    tags: Mapping[str, str],
    mark: "Deprecation | None",
) -> None:
    manifest = version.manifest
    lora = manifest.lora
    facts: dict[str, Any] = {
        "digest": version.digest,
        "aliases": ", ".join(aliases) or "none",
        "created": f"{version.created:%Y-%m-%d %H:%M:%S} UTC by {version.actor}",
        "note": version.note,
        **({"deprecated": f"{mark.reason} ({mark.actor}, {mark.marked:%Y-%m-%d})"} if mark else {}),
        **({"tags": ", ".join(f"{key}={value}" for key, value in tags.items())} if tags else {}),
        **{name: value for name, value in lineage.items() if name == "parent"},
        "base": f"{manifest.base_name}  {manifest.base_fingerprint[:19]}",
        "lora": f"rank {lora.rank}, alpha {lora.alpha:g}, {', '.join(lora.target_modules)}",
        **{f"data.{key}": value for key, value in manifest.data.items() if key != PARENT},
        **{f"metrics.{key}": value for key, value in manifest.metrics.items() if isinstance(value, int | float)},
        **{f"code.{key}": value for key, value in manifest.code.items() if isinstance(value, str)},
    }
    click.secho(str(version), bold=True)
    width = max(map(len, facts))
    for name, value in facts.items():
        shown = f"{value:.4g}" if isinstance(value, float) else value
        click.echo(f"  {name:{width}}  {shown}")


def _print_files(version: "AdapterVersion") -> None:
    rows = [(file.path, format_size(file.size), file.digest[:19]) for file in version.manifest.files]
    print_table(("file", "size", "digest"), rows)


def _print_reports(reports: "Sequence[EvalReport]") -> None:
    if not reports:
        return
    rows = [
        (report.suite_name, metric, f"{score.mean:.3f}", f"{report.base[metric].mean:.3f}", report.items,
         "passed" if report.passed else "failed", report.profile_fingerprint[:19])
        for report in reports
        for metric, score in report.adapter.items()
    ]  # fmt: skip
    print_table(("suite", "metric", "adapter", "base", "items", "gate", "profile"), rows)


def _print_artifacts(artifacts: "Sequence[Artifact]") -> None:
    if not artifacts:
        return
    rows = [
        (artifact.form, artifact.quant, format_size(artifact.size), _measured(artifact.drift)) for artifact in artifacts
    ]
    print_table(("artifact", "quant", "size", "drift"), rows)


def _measured(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in figures.items())
