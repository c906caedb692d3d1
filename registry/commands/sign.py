"""``registry sign``, and what ``push``, ``pull``, ``show`` and ``verify`` share with it."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from registry.console import command, json_option, print_json, print_table, settings
from registry.settings import Settings

if TYPE_CHECKING:
    from registry.base_model import BaseModel
    from registry.signature import Signature
    from registry.store import Registry

key_file = click.Path(path_type=Path, dir_okay=False)
sign_option = click.option(
    "--sign", "keys", metavar="KEY.pem", multiple=True, type=key_file, help="Sign it with this private key."
)
verify_option = click.option(
    "--verify", "public_key", metavar="PUB.pem", type=key_file, help="Refuse it unless this key signed it."
)


@click.command()
@click.argument("ref")
@click.option("--key", metavar="KEY.pem", type=key_file, required=True, help="The private key.")
@json_option
@command
def sign(ref: str, key: Path, as_json: bool) -> None:
    """Sign the version that REF names.

    The key is an elliptic curve (P-256, P-384 or P-521) in PEM. The password of an encrypted one is asked for, or taken
    from ADAPTORY_SIGN_PASSWORD. Nothing is sent anywhere.

    \b
    openssl ecparam -name prime256v1 -genkey -noout -out key.pem
    openssl ec -in key.pem -pubout -out pub.pem
    registry sign support:4 --key key.pem
    registry pull support:4 --verify pub.pem
    """
    from registry.signing.bundle import sign as sign_manifest
    from registry.store import Registry

    options = settings()
    registry = Registry.open(options)
    version = registry.versions.get(ref)
    made = sign_manifest(version.manifest, key, password_for([key], options))
    signature = registry.signatures.add(made, actor=options.actor)
    if as_json:
        print_json(version.to_json() | {"signature": signature.to_json()})
        return
    click.echo(f"{version}  {version.digest}  signed with the key {signature.key[:12]}")


def sign_push(
    registry: "Registry", folder: Path, base: "BaseModel | None", keys: Sequence[Path], options: Settings
) -> "Sequence[Signature]":
    """Signatures of the version that a push of ``folder`` will make, one by each key."""
    if not keys:
        return ()
    from registry.signing.checking import sign_folder

    return sign_folder(registry, folder, base, keys, password_for(keys, options))


def password_for(keys: Sequence[Path], options: Settings) -> str:
    """The password of an encrypted key: from the settings, or else asked for where somebody can answer."""
    if options.sign_password or not sys.stdin.isatty():
        return options.sign_password
    encrypted = next((key for key in keys if key.is_file() and b"ENCRYPTED" in key.read_bytes()), None)
    return str(click.prompt(f"Password of {encrypted}", hide_input=True, err=True)) if encrypted else ""


def print_signatures(signatures: "Sequence[Signature]") -> None:
    """A table of who signed; nothing where nobody did."""
    if not signatures:
        return
    rows = [
        (each.key[:12], f"{each.created:%Y-%m-%d %H:%M}" if each.created else "", each.actor) for each in signatures
    ]
    print_table(("signed with key", "when (UTC)", "by"), rows)
