"""What commands ask of signatures: make those of a folder, find the one that a key made."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from registry.base_model import BaseModel
from registry.errors import Refused
from registry.planned import planned
from registry.run_folder import read_record
from registry.signature import SIGNATURE_FILE, Signature, key_id
from registry.signing.bundle import prove, sign
from registry.signing.keys import load_public

if TYPE_CHECKING:
    from registry.store import Registry
    from registry.version import AdapterVersion


def sign_folder(
    registry: "Registry", folder: Path, base: BaseModel | None, keys: Sequence[Path], password: str
) -> list[Signature]:
    """Sign the version that a push of ``folder`` will make.

    Args:
        registry: knows bases of earlier pushes.
        folder: what is pushed.
        base: the base, or None where the folder names one that the registry knows.
        keys: files of private keys.
        password: of encrypted ones.

    Raises:
        InvalidInput: a key is none, or the folder is no adapter.
        NotFound: nobody knows the base.
    """
    fingerprint = read_record(folder).base_fingerprint
    if not keys or (base is None and not fingerprint):
        return []  # without a base the push says what is wrong
    manifest = planned(folder, base or registry.bases.get(fingerprint))
    return [sign(manifest, key, password) for key in keys]


def prove_signed_by(registry: "Registry", version: "AdapterVersion", public_key: Path) -> Signature:
    """Prove that the holder of a key signed a version, and return the signature.

    Raises:
        Refused: it is not signed, or by others, or the signature is not valid.
        InvalidInput: the key is none.
    """
    wanted = key_id(load_public(public_key))
    signatures = registry.signatures.list(version.digest)
    for signature in signatures:
        if signature.key == wanted:
            prove(signature, version.manifest)
            return signature
    if not signatures:
        raise Refused(f"{version} is not signed.", f"registry sign {version} --key KEY.pem")
    others = ", ".join(each.key[:12] for each in signatures)
    raise Refused(f"{version} is not signed with the key {wanted[:12]} ({public_key}), but with {others}.")


def signatures_of(registry: "Registry", version: "AdapterVersion", public_key: Path | None) -> Sequence[Signature]:
    """The signatures that go with a pulled version: the one by ``public_key``, proved, or all where none is asked for.

    Raises:
        Refused: as ``prove_signed_by`` does.
    """
    return [prove_signed_by(registry, version, public_key)] if public_key else registry.signatures.list(version.digest)


def lay_beside(signatures: Sequence[Signature], folder: Path) -> Path | None:
    """Write the newest signature into a pulled folder, where ``model_signing verify`` can use it; None without one."""
    if not signatures:
        return None
    file = folder / SIGNATURE_FILE
    file.write_text(signatures[-1].bundle, encoding="utf-8")
    return file
