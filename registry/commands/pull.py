"""``registry pull``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.commands.sign import verify_option
from registry.console import command, json_option, print_json, progress, say, settings
from registry.errors import Unavailable
from registry.known_refs import KnownRefs
from registry.refs import AdapterRef
from registry.settings import Settings

if TYPE_CHECKING:
    from registry.signature import Signature
    from registry.store import Registry
    from registry.version import AdapterVersion


@click.command()
@click.argument("ref")
@click.option("--out", type=click.Path(path_type=Path), help="New folder to write; NAME-NUMBER by default.")
@verify_option
@json_option
@command
def pull(ref: str, out: Path | None, public_key: Path | None, as_json: bool) -> None:
    """Put the files of the version that REF names into a folder, verified; its signature is laid beside them.

    What was pulled before comes from this machine's cache, read-only and in a moment, also while the registry is away.
    """
    from registry.pull_cache import PullCache
    from registry.signing.checking import lay_beside

    options = settings()
    wanted = AdapterRef.parse(ref)
    known = KnownRefs(options.cache / "refs", options.registry)
    registry: Registry | None = None
    signatures: Sequence[Signature] = ()
    try:
        registry, version, signatures = _ask(options, wanted, public_key)
        known.remember(wanted, version)
    except Unavailable as away:
        version = _recalled(known, wanted, public_key, away)
    target = out or Path(f"{version.name.replace('/', '-')}-{version.number}")

    def fetch(folder: Path) -> None:
        if registry is None:
            raise Unavailable(f"The registry is away, and {version} is not in the cache.", "Try again later.")
        with progress(of_bytes=True) as bar:
            task = bar.add_task(f"Pulling {version}", total=version.manifest.size)
            registry.versions.pull(version, folder, on_bytes=lambda size: bar.advance(task, size))

    warm = PullCache(options.cache / "pulled").pull(version, target, fetch)
    lay_beside(signatures, target)
    if as_json:
        signed = [each.key for each in signatures]
        print_json(version.to_json() | {"folder": str(target), "signed": signed, "cached": warm})
        return
    click.echo(f"{version}  {version.digest}  -> {target}{'  (from the cache)' if warm else ''}")


def _ask(
    options: Settings, wanted: AdapterRef, public_key: Path | None
) -> "tuple[Registry, AdapterVersion, Sequence[Signature]]":
    from registry.signing.checking import signatures_of
    from registry.store import Registry

    registry = Registry.open(options)
    version = registry.versions.get(wanted)
    return registry, version, signatures_of(registry, version, public_key)


def _recalled(known: KnownRefs, wanted: AdapterRef, public_key: Path | None, away: Unavailable) -> "AdapterVersion":
    """What the reference named when the registry last answered; raises ``away`` where that is not known."""
    recalled = None if public_key else known.recall(wanted)
    if recalled is None:
        raise away
    version, asked = recalled
    say(f"The registry is away; {wanted} was {version} on {asked:%Y-%m-%d %H:%M} UTC.")
    return version
