"""The command ``adaptory eval``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.console import command, json_option, print_json, print_table, progress, settings
from registry.errors import InvalidInput, Refused

if TYPE_CHECKING:
    from registry.report import EvalReport, Score


@click.command(name="eval")
@click.argument("ref")
@click.option("--suite", "suite_file", type=click.Path(path_type=Path), required=True, help="The suite's TOML file.")
@click.option("--server", "url", metavar="URL", help="Server to ask; ADAPTORY_SERVER or port 8000 here by default.")
@click.option("--concurrency", type=click.IntRange(1, 256), default=16, show_default=True, help="Requests in flight.")
@json_option
@command
def evaluate(ref: str, suite_file: Path, url: str | None, concurrency: int, as_json: bool) -> None:
    """Score the version REF beside its base on the set-up that serves, and keep the report with the version.

    Exits with 1 where the suite's gate fails; the report is kept all the same.
    """
    from evals.evaluation import evaluate as run
    from evals.server import Server
    from evals.suite import read_suite
    from registry.store import Registry

    options = settings()
    suite = read_suite(suite_file)
    registry = Registry.open(options)
    version = registry.versions.get(ref)
    with Server.connect(url or options.server, concurrency, options.headers) as server, progress() as bar:
        profile = server.profile()
        if profile["base_fingerprint"] != version.manifest.base_fingerprint:
            raise InvalidInput(
                f"{version} was trained on the base {version.manifest.base_name}; the server serves "
                f"{profile['base_name']}.",
                f"adaptory serve --base {version.manifest.base_name}",
            )
        earlier = registry.reports.on(suite.digest, profile["fingerprint"])
        asked = len(suite.items) * (1 if earlier else 2)
        task = bar.add_task(f"Asking {version} and {profile['base_name']}", total=asked)
        report = run(
            version,
            suite,
            server,
            profile=profile,
            earlier=earlier,
            concurrency=concurrency,
            on_answer=lambda: bar.advance(task),
        )
    registry.reports.add(report)
    if as_json:
        print_json(report.to_json())
    else:
        _print(str(version), report)
    if not report.passed:
        raise Refused(f"{version} does not pass the suite {report.suite_name}: {'; '.join(report.failures)}.")


def _shown_gain(gain: "Score") -> str:
    return f"{gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"


def _print(version: str, report: "EvalReport") -> None:
    rows = [
        (metric, f"{report.base[metric].mean:.3f}", f"{ours.mean:.3f}",
         f"{ours.low:.3f} to {ours.high:.3f}", _shown_gain(report.gain[metric]))
        for metric, ours in report.adapter.items()
    ]  # fmt: skip
    click.echo(f"{version} on {report.suite_name}, {report.items} items, profile {report.profile_fingerprint[:19]}")
    print_table(("metric", "base", "adapter", "95 % interval", "gain (95 % interval)"), rows)
    if report.passed:
        click.secho("passed", fg="green")
