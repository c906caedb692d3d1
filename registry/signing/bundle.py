"""Bundles: made and proved with ``model_signing``, from the digests that a version's manifest already holds.

What is signed is the list of files with their SHA-256, so ``model_signing verify key FOLDER`` takes a pulled folder
as it is. The subject's name, which that command does not look at, is the version's digest: the signature covers all
else in the manifest too, the base and the recipe included.
"""

import base64
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.errors import InvalidInput, Refused
from registry.manifest import Manifest
from registry.optional import require
from registry.refs import shown as quoted
from registry.signature import SIGNATURE_FILE, Signature, key_id
from registry.signing.keys import PACKAGES, load_private, public_pem

if TYPE_CHECKING:
    from model_signing.hashing import Config

MAX_BUNDLE = 1 << 20


def sign(manifest: Manifest, key: Path, password: str = "") -> Signature:
    """Sign the version that ``manifest`` describes.

    Args:
        manifest: of the version.
        key: file of the private key.
        password: of an encrypted key, or ``""``.

    Raises:
        InvalidInput: the key is none, or cannot be opened.
        MissingPackage: the extra ``sign`` is not installed.
    """
    public_key = public_pem(load_private(key, password).public_key())
    from model_signing.signing import Config

    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / SIGNATURE_FILE
        signer = Config().use_elliptic_key_signer(private_key=key, password=_secret(key, password))
        signer.set_hashing_config(_recorded(manifest)).sign(manifest.digest, bundle)
        return Signature(
            version_digest=manifest.digest, public_key=public_key, bundle=bundle.read_text(encoding="utf-8")
        )


def prove(signature: Signature, manifest: Manifest) -> None:
    """Prove that a signature is its key's, and speaks of the version that ``manifest`` describes.

    Raises:
        Refused: it does not.
        MissingPackage: the extra ``sign`` is not installed.
    """
    if signature.version_digest != manifest.digest:
        named = quoted(signature.version_digest, 19)[1:-1]
        raise Refused(f"The signature of {manifest.digest[:19]}… is brought for another version ({named}).")
    prove_bundle(signature.bundle, manifest, signature.public_key)


def prove_bundle(bundle: str, manifest: Manifest, public_key: str) -> None:
    """Prove a bundle against a key; raises as ``prove`` does."""
    require("sign", PACKAGES)
    from cryptography.exceptions import InvalidSignature
    from model_signing.verifying import Config

    shown = f"The signature of {manifest.digest[:19]}…"
    made_by = key_of(bundle)
    if made_by != key_id(public_key):
        raise Refused(
            f"{shown} was made with the key {quoted(made_by, 12)[1:-1]}, not with the key {key_id(public_key)[:12]}."
        )
    if _subject(bundle) != manifest.digest:
        raise Refused(f"{shown} speaks of another version ({quoted(_subject(bundle), 19)[1:-1]}).")
    with tempfile.TemporaryDirectory() as folder:
        signature, key = Path(folder) / SIGNATURE_FILE, Path(folder) / "pub.pem"
        signature.write_text(bundle, encoding="utf-8", errors="replace")
        key.write_text(public_key, encoding="utf-8", errors="replace")
        try:
            verifier = Config().use_elliptic_key_verifier(public_key=key)
            verifier.set_hashing_config(_recorded(manifest)).verify(manifest.digest, signature)
        except InvalidSignature as error:
            raise Refused(f"{shown} is not valid: it, or what it says, was changed.") from error
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise Refused(f"{shown} does not fit the version: {quoted(str(error), 200)[1:-1]}") from error


def key_of(bundle: str) -> str:
    """Id of the key that a bundle says it was made with.

    Raises:
        InvalidInput: the text is no bundle that was made with a key.
    """
    document = _load(bundle)
    try:
        hint = document["verificationMaterial"]["publicKey"]["hint"]
    except (KeyError, TypeError):
        hint = None
    if not isinstance(hint, str) or not hint:
        raise InvalidInput(
            "The signature is no Sigstore bundle that was made with a key.", "registry sign REF --key KEY"
        )
    return hint


def _subject(bundle: str) -> str:
    try:
        statement = json.loads(base64.b64decode(_load(bundle)["dsseEnvelope"]["payload"]))
        return str(statement["subject"][0]["name"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise InvalidInput("The signature holds no statement that can be read.") from error


def _load(bundle: str) -> dict[str, Any]:
    if len(bundle) > MAX_BUNDLE:
        raise InvalidInput(f"The signature is larger than {MAX_BUNDLE} bytes.")
    try:
        document = json.loads(bundle)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("The signature is not JSON.") from error
    if not isinstance(document, dict):
        raise InvalidInput("The signature is no JSON object.")
    return document


def _secret(key: Path, password: str) -> Any:
    """The password as ``cryptography`` wants it, though ``model_signing`` calls it text; None for an open key."""
    return password.encode() if b"ENCRYPTED" in key.read_bytes() else None


def _recorded(manifest: Manifest) -> "Config":
    """A way to hash that reads no files: the digests were proved when the version was pushed, and are at each pull."""
    from model_signing import hashing
    from model_signing._hashing.hashing import Digest
    from model_signing.manifest import Manifest as Hashes
    from model_signing.manifest import SerializationType

    kind = SerializationType.from_args(
        {"method": "files", "hash_type": "sha256", "allow_symlinks": False, "ignore_paths": [SIGNATURE_FILE]}
    )
    digests = {entry.path: bytes.fromhex(entry.digest.removeprefix("sha256:")) for entry in manifest.files}
    items = [kind.new_item(path, Digest("sha256", digest)) for path, digest in digests.items()]

    class Recorded(hashing.Config):
        def hash(self, model_path: Any, *, files_to_hash: Any = None) -> Hashes:  # noqa: ARG002 - the library's
            return Hashes(str(model_path), items, kind)

    return Recorded()  # type: ignore[no-untyped-call]  # the library's constructor is not annotated
