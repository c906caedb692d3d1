"""``registry list``, ``show`` and ``pull``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.console import command, format_size, json_option, print_json, print_table, progress, settings
from registry.refs import AdapterRef

if TYPE_CHECKING:
    from registry.artifact import Artifact
    from registry.report import EvalReport
    from registry.version import AdapterVersion


@click.command(name="list")
@click.argument("name", required=False)
@json_option
@command
def list_versions(name: str | None, as_json: bool) -> None:
    """List the versions of NAME, or of every adapter."""
    from registry.store import Registry

    registry = Registry.open(settings())
    versions = registry.versions.list(name)
    named: dict[tuple[str, int], list[str]] = {}
    for alias in registry.aliases.list(name):
        named.setdefault((alias.name, alias.number), []).append(alias.alias)
    if as_json:
        print_json(
            [version.to_json() | {"aliases": named.get((version.name, version.number), [])} for version in versions]
        )
        return
    if not versions:
        click.echo("Nothing was pushed yet: registry push FOLDER NAME")
        return
    columns = ("version", "aliases", "base", "rank", "size", "created", "by", "digest", "note")
    print_table(columns, [_row(version, named.get((version.name, version.number), [])) for version in versions])


def _row(version: "AdapterVersion", aliases: Sequence[str]) -> tuple[object, ...]:
    manifest = version.manifest
    return (
        version,
        ", ".join(aliases),
        manifest.base_name,
        manifest.lora.rank,
        format_size(manifest.size),
        f"{version.created:%Y-%m-%d %H:%M}",
        version.actor,
        version.digest[:19],
        version.note,
    )


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
    if as_json:
        document = version.to_json() | {"manifest": version.manifest.to_json(), "aliases": aliases}
        document["reports"] = [report.to_json() for report in reports]
        document["artifacts"] = [artifact.to_json() for artifact in artifacts]
        print_json(document)
        return
    _print_facts(version, aliases)
    _print_files(version)
    _print_reports(reports)
    _print_artifacts(artifacts)


def _print_facts(version: "AdapterVersion", aliases: Sequence[str]) -> None:
    manifest = version.manifest
    lora = manifest.lora
    facts: dict[str, Any] = {
        "digest": version.digest,
        "aliases": ", ".join(aliases) or "none",
        "created": f"{version.created:%Y-%m-%d %H:%M:%S} UTC by {version.actor}",
        "note": version.note,
        "base": f"{manifest.base_name}  {manifest.base_fingerprint[:19]}",
        "lora": f"rank {lora.rank}, alpha {lora.alpha:g}, {', '.join(lora.target_modules)}",
        **{f"data.{key}": value for key, value in manifest.data.items()},
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
    rows = [(artifact.form, artifact.quant, format_size(artifact.size), artifact.drift or "") for artifact in artifacts]
    print_table(("artifact", "quant", "size", "drift"), rows)


@click.command()
@click.argument("ref")
@click.option("--out", type=click.Path(path_type=Path), help="New folder to write; NAME-NUMBER by default.")
@json_option
@command
def pull(ref: str, out: Path | None, as_json: bool) -> None:
    """Copy the files of the version that REF names into a folder, verified."""
    from registry.store import Registry

    AdapterRef.parse(ref)
    registry = Registry.open(settings())
    version = registry.versions.get(ref)
    target = out or Path(f"{version.name.replace('/', '-')}-{version.number}")
    with progress(of_bytes=True) as bar:
        task = bar.add_task(f"Pulling {version}", total=version.manifest.size)
        registry.versions.pull(version, target, on_bytes=lambda size: bar.advance(task, size))
    if as_json:
        print_json(version.to_json() | {"folder": str(target)})
        return
    click.echo(f"{version}  {version.digest}  -> {target}")
