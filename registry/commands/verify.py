"""``registry verify``."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.commands.sign import key_file
from registry.console import command, json_option, print_json, progress, settings
from registry.errors import Corrupted, InvalidInput

if TYPE_CHECKING:
    from registry.store import Registry


@click.command()
@click.argument("ref", required=False)
@click.option("--key", "public_key", metavar="PUB.pem", type=key_file, help="With REF: this key must have signed it.")
@json_option
@command
def verify(ref: str | None, public_key: Path | None, as_json: bool) -> None:
    """Prove every manifest, every history and every byte that is kept; exits with 1 where something is wrong.

    With REF, prove that one version, and with --key that the holder of the key signed it.
    """
    from registry.store import Registry

    registry = Registry.open(settings())
    if ref is not None:
        _verify_version(registry, ref, public_key, as_json)
        return
    if public_key is not None:
        raise InvalidInput("--key says who signed one version; which one is missing.", "registry verify REF --key PUB")
    verification = registry.verification
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


def _verify_version(registry: "Registry", ref: str, public_key: Path | None, as_json: bool) -> None:
    from registry.signing.checking import signatures_of

    version = registry.versions.get(ref)
    signatures = signatures_of(registry, version, public_key)
    with tempfile.TemporaryDirectory() as folder, progress(of_bytes=True) as bar:
        task = bar.add_task(f"Reading {version}", total=version.manifest.size)
        registry.versions.pull(version, Path(folder) / "files", on_bytes=lambda size: bar.advance(task, size))
    if as_json:
        print_json(version.to_json() | {"signed": [each.key for each in signatures], "findings": []})
        return
    signed = f", signed with the key {signatures[0].key[:12]}" if public_key else ""
    click.echo(f"{version}  {version.digest}  is as it was pushed{signed}")
