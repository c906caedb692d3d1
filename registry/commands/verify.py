"""``registry verify``."""

import click

from registry.console import command, json_option, print_json, progress, settings
from registry.errors import Corrupted


@click.command()
@json_option
@command
def verify(as_json: bool) -> None:
    """Prove every manifest, every history and every byte that is kept; exits with 1 where something is wrong."""
    from registry.store import Registry

    verification = Registry.open(settings()).verification
    blobs = verification.blobs()
    with progress(of_bytes=True) as bar:
        task = bar.add_task("Reading every blob", total=sum(blob.size for blob in blobs.values()))
        findings = verification.run(lambda size: bar.advance(task, size))
    if as_json:
        print_json({"blobs": len(blobs), "findings": findings})
    else:
        for finding in findings:
            click.echo(finding)
    if findings:
        raise Corrupted(f"{len(findings)} things are not as they were kept.", "Restore them from a backup.")
    if not as_json:
        click.echo(f"All is well: {len(blobs)} blobs, every manifest, every history.")
