"""``registry import``, ``export-hub`` and ``export-oci``."""

import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from registry.commands.sign import sign_option, sign_push, verify_option
from registry.console import command, json_option, print_json, progress, say, settings
from registry.errors import Conflict, InvalidInput
from registry.refs import valid_name

if TYPE_CHECKING:
    from registry.exchange.oci_client import Access
    from registry.version import Push

FunctionT = TypeVar("FunctionT", bound=Callable[..., None])


def oci_options(function: FunctionT) -> FunctionT:
    """Who asks an OCI registry, and how."""
    config = click.Path(path_type=Path, file_okay=False)
    for option in (
        click.option("--user", metavar="NAME", default="", help="For an OCI registry.  [default: docker's login]"),
        click.option("--password-stdin", is_flag=True, help="Read the password of --user from stdin."),
        click.option("--docker-config", envvar="DOCKER_CONFIG", type=config, help="Folder of docker's config.json."),
        click.option("--insecure", is_flag=True, help="Allow plain HTTP to another machine."),
    ):
        function = option(function)
    return function


@click.command(name="import")
@click.argument("source")
@click.argument("name")
@click.option(
    "--base", "base_name", metavar="NAME", help="Prepared base, if what it says of its base does not find it."
)
@click.option("--note", help="A line for people.  [default: where it came from]")
@sign_option
@verify_option
@oci_options
@json_option
@command
def import_adapter(
    source: str,
    name: str,
    base_name: str | None,
    note: str | None,
    keys: tuple[Path, ...],
    public_key: Path | None,
    user: str,
    password_stdin: bool,
    docker_config: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Push the adapter that lies at SOURCE as the next version of NAME.

    \b
    registry import hf:org/adapter@main support       the Hugging Face Hub, or its cache
    registry import ./adapter support                 a folder in the Hub's layout
    registry import oci://host/team/support:4 support an OCI registry; the digest stays the same

    The base is found by what the card or configuration says; where it came from is recorded.
    """
    from registry.exchange.reception import receive
    from registry.store import Registry

    valid_name(name)
    options = settings()
    registry = Registry.open(options)
    access = _access(user, password_stdin, docker_config, insecure)
    options.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.cache, prefix="import-") as folder:
        with progress(of_bytes=True) as bar:
            task = bar.add_task(f"Fetching {source}", total=None)
            received = receive(
                source, Path(folder), registry, options, base_name, access, lambda size: bar.advance(task, size)
            )
        signatures = [
            *received.signatures(registry, public_key),
            *sign_push(registry, received.folder, received.base, keys, options),
        ]
        if received.bundle and not signatures:
            say("Its signature is not kept: --verify PUB.pem proves it.")
        with progress(of_bytes=True) as bar:
            task = bar.add_task(f"Pushing {name}", total=received.size)
            pushed = registry.versions.push(
                received.folder,
                name,
                actor=options.actor,
                base=received.base,
                note=note if note is not None else f"from {received.origin}",
                signatures=signatures,
                on_bytes=lambda size: bar.advance(task, size),
            )
    _report(pushed, received.origin, as_json)


def _report(pushed: "Push", origin: str, as_json: bool) -> None:
    if as_json:
        print_json(pushed.version.to_json() | {"new": pushed.created, "from": origin})
        return
    remark = "" if pushed.created else "  (the same content was pushed before)"
    click.echo(f"{pushed.version}  {pushed.version.digest}  from {origin}{remark}")


@click.command(name="export-hub")
@click.argument("ref")
@click.option("--out", type=click.Path(path_type=Path), help="New folder to write.")
@click.option(
    "--push", "repo", metavar="ORG/NAME", help="Repository of the Hub to commit to; made where it is missing."
)
@click.option("--public", is_flag=True, help="With --push: a repository that is made is public.")
@click.option("--base-model", metavar="ORG/NAME", default="", help="Hub id of the base, if it did not come from there.")
@click.option("--license", "license_id", metavar="ID", default="", help="For the card: apache-2.0, mit, llama3.1, ...")
@click.option("--dataset", "datasets", metavar="ORG/NAME", multiple=True, help="For the card: Hub id of the data.")
@json_option
@command
def export_hub(
    ref: str,
    out: Path | None,
    repo: str | None,
    public: bool,
    base_model: str,
    license_id: str,
    datasets: Sequence[str],
    as_json: bool,
) -> None:
    """Write the version that REF names as a Hugging Face repository, with a model card: to a folder, or to the Hub.

    \b
    registry export-hub support@prod --out support-hub --license apache-2.0
    registry export-hub support@prod --push org/support
    """
    from registry.embedded.blobs import folder_made_whole
    from registry.exchange import hub
    from registry.exchange.hub_export import lay_out
    from registry.store import Registry

    if (out is None) == (repo is None):
        raise InvalidInput("Where to is missing, or named twice.", "Add --out FOLDER or --push ORG/NAME.")
    place = hub.parse(repo) if repo else None
    if place and place[1]:
        raise InvalidInput("A push goes to the branch main.", f"Write --push {place[0]}.")
    registry = Registry.open(settings())
    version = registry.versions.get(ref)
    if out and out.exists():
        raise Conflict(f"{out} exists already.", "Name another folder with --out.")
    commit = ""
    with (
        tempfile.TemporaryDirectory() as temporary,
        folder_made_whole(out or Path(temporary) / "files") as folder,
        progress(of_bytes=True) as bar,
    ):
        task = bar.add_task(f"Writing {version}", total=version.manifest.size)
        files = lay_out(
            registry,
            version,
            folder,
            base_model=base_model,
            license_id=license_id,
            datasets=datasets,
            on_bytes=lambda size: bar.advance(task, size),
        )
        if place:
            commit = hub.push(
                hub.client(), place[0], folder, files, f"{version} ({version.digest})", private=not public
            )
    if as_json:
        print_json(version.to_json() | {"folder": str(out) if out else None, "commit": commit or None, "files": files})
        return
    click.echo(f"{version}  {version.digest}  -> {commit or out}")


@click.command(name="export-oci")
@click.argument("ref")
@click.argument("place")
@oci_options
@json_option
@command
def export_oci(
    ref: str,
    place: str,
    user: str,
    password_stdin: bool,
    docker_config: Path | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Push the version that REF names to an OCI registry, as a CNCF ModelPack, with its signature.

    \b
    registry export-oci support:4 oci://registry.example.com/team/support:4
    """
    from registry.exchange.oci import export_oci as upload
    from registry.exchange.oci_client import OciClient
    from registry.exchange.oci_place import OciPlace
    from registry.store import Registry

    target = OciPlace.parse(place)
    registry = Registry.open(settings())
    version = registry.versions.get(ref)
    access = _access(user, password_stdin, docker_config, insecure)
    with OciClient(target, access) as client, progress(of_bytes=True) as bar:
        task = bar.add_task(f"Pushing to {target.host}", total=version.manifest.size)
        digest = upload(registry, version, client, on_bytes=lambda size: bar.advance(task, size))
    if as_json:
        print_json(version.to_json() | {"place": str(target), "oci_digest": digest})
        return
    click.echo(f"{version}  {version.digest}  -> {target}@{digest}")


def _access(user: str, password_stdin: bool, docker_config: Path | None, insecure: bool) -> "Access":
    from registry.exchange.oci_client import Access

    if bool(user) != password_stdin:
        raise InvalidInput(
            "--user and --password-stdin belong together.", "echo $TOKEN | … --user NAME --password-stdin"
        )
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else ""
    return Access(user=user, password=password, docker_config=docker_config, insecure=insecure)
