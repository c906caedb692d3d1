"""Versions to and from OCI registries."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from registry.base_model import BaseModel
from registry.errors import Corrupted, InvalidAdapter, InvalidInput, NotFound
from registry.exchange.modelpack import pack, unpack
from registry.exchange.oci_client import OciClient, OnBytes
from registry.files import FileEntry
from registry.manifest import Manifest
from registry.planned import planned
from registry.run_folder import WEIGHTS
from registry.signature import SIGNATURE_FILE

if TYPE_CHECKING:
    from registry.store import Registry
    from registry.version import AdapterVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class OciArrival:
    """What came from an OCI registry.

    Attributes:
        folder: holds the adapter's files.
        source: where they came from.
        manifest: of the version that was exported there, or None where somebody else packed it.
        bundle: the signature that travelled, or ``""``.
    """

    folder: Path
    source: str
    manifest: Manifest | None
    bundle: str


def export_oci(registry: "Registry", version: "AdapterVersion", client: OciClient, on_bytes: OnBytes = None) -> str:
    """Upload a version as a ModelPack, with its newest signature.

    Returns:
        The OCI manifest's digest.

    Raises:
        InvalidInput: the place has no tag.
        Refused, Unavailable: the registry said so, or nothing.
    """
    if not client.place.tag or client.place.digest:
        raise InvalidInput(f"{client.place} has no tag to give.", f"Write oci://HOST/REPOSITORY:{version.number}.")
    signatures = registry.signatures.list(version.digest)
    signature = signatures[-1] if signatures else None
    base = registry.bases.get(version.manifest.base_fingerprint)
    manifest, config = pack(version, signature, base.architecture)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "files"
        registry.versions.pull(version, folder)
        files = [(folder / entry.path, entry) for entry in version.manifest.files]
        if signature:
            (folder / SIGNATURE_FILE).write_text(signature.bundle, encoding="utf-8")
            files.append((folder / SIGNATURE_FILE, FileEntry.of(folder, SIGNATURE_FILE)))
        return client.push(manifest, config, files, on_bytes)


def download(client: OciClient, target: Path, on_bytes: OnBytes = None) -> OciArrival:
    """Fetch a ModelPack's files into the empty folder ``target``.

    Raises:
        InvalidAdapter: there is something else.
        Corrupted: other bytes came than the digests say.
    """
    package = unpack(client.manifest())
    if not any(layer.path == WEIGHTS for layer in package.layers):
        raise InvalidAdapter(f"{client.place} holds no {WEIGHTS}.", "It is no LoRA adapter.")
    bundle = ""
    for layer in package.layers:
        client.download(layer, target / layer.path, on_bytes)
    if (target / SIGNATURE_FILE).is_file():
        bundle = (target / SIGNATURE_FILE).read_text(encoding="utf-8", errors="replace")
        (target / SIGNATURE_FILE).unlink()
    return OciArrival(folder=target, source=str(client.place), manifest=package.manifest, bundle=bundle)


def base_of(found: OciArrival, bases: Sequence[BaseModel], known: Sequence[BaseModel]) -> BaseModel:
    """The base that a version was exported with, under the name it had there, so that the digest stays the same.

    Args:
        found: what came; its manifest is there.
        bases: prepared on this machine.
        known: to the registry.

    Raises:
        NotFound: neither knows a base with these weights.
        Corrupted: the files are not what the manifest says of them.
    """
    manifest = found.manifest
    if manifest is None:
        raise NotFound("The package says nothing of its base.", "Name it with --base NAME.")
    fitting = [base for base in (*bases, *known) if base.fingerprint == manifest.base_fingerprint]
    if not fitting:
        raise NotFound(
            f"The base {manifest.base_name} ({manifest.base_fingerprint[:19]}…) is not prepared here.",
            "adaptory base prepare SOURCE --name NAME, from the source that it was made from there.",
        )
    base = replace(fitting[0], name=manifest.base_name)
    if planned(found.folder, base).digest != manifest.digest:
        raise Corrupted("The files are not what the version's manifest says of them.", "Export it again.")
    return base
