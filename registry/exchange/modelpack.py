"""ModelPack: a version as an OCI manifest, after the CNCF's model-spec (modelpack/model-spec, docs/spec.md).

Every file is a layer as it is, so that a layer's digest is the file's, and layers are the registry's own blobs. The
version's manifest travels as an annotation: whoever imports it gets the same version digest.
"""

from dataclasses import dataclass
from typing import Any

from registry.canonical import canonical_json, digest_bytes
from registry.errors import Corrupted, InvalidAdapter, InvalidInput
from registry.files import FileEntry
from registry.manifest import Manifest
from registry.refs import shown
from registry.run_folder import KEPT
from registry.signature import SIGNATURE_FILE, Signature
from registry.strict_json import read_object
from registry.times import to_text
from registry.version import AdapterVersion

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT = "application/vnd.cncf.model.manifest.v1+json"
CONFIG = "application/vnd.cncf.model.config.v1+json"
WEIGHT = "application/vnd.cncf.model.weight.v1.raw"
WEIGHT_CONFIG = "application/vnd.cncf.model.weight.config.v1.raw"
DOC = "application/vnd.cncf.model.doc.v1.raw"
RAW = frozenset({WEIGHT, WEIGHT_CONFIG, DOC})

FILEPATH = "org.cncf.model.filepath"
TITLE = "org.opencontainers.image.title"  # what the oras command calls a file
MANIFEST = "dev.adaptory.manifest"
DIGEST = "dev.adaptory.digest"

MAX_MANIFEST = 4 << 20
"""What registries take (the distribution specification asks for 4 MiB)."""

MAX_SIGNATURE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What an OCI manifest says.

    Attributes:
        layers: files that a push takes, and perhaps the signature's.
        manifest: of the version that travelled, or None where somebody else packed it.
    """

    layers: tuple[FileEntry, ...]
    manifest: Manifest | None


def pack(version: AdapterVersion, signature: Signature | None, architecture: str) -> tuple[bytes, bytes]:
    """The OCI manifest and the configuration of a version.

    Args:
        version: the version.
        signature: travels with it as a file beside the others, where ``model_signing`` expects it.
        architecture: of the base.

    Raises:
        InvalidInput: the version's manifest is larger than registries take.
    """
    layers = [_layer(entry.path, entry.size, entry.digest) for entry in version.manifest.files]
    if signature:
        bundle = signature.bundle.encode("utf-8")
        layers.append(_layer(SIGNATURE_FILE, len(bundle), digest_bytes(bundle)))
    config = canonical_json(_config(version, architecture, [layer["digest"] for layer in layers]))
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT,
        "config": {"mediaType": CONFIG, "digest": digest_bytes(config), "size": len(config)},
        "layers": layers,
        "annotations": {
            "org.opencontainers.image.created": to_text(version.created),
            "org.opencontainers.image.title": version.name,
            "org.opencontainers.image.version": str(version.number),
            DIGEST: version.digest,
            MANIFEST: version.manifest.to_bytes().decode("utf-8"),
        },
    }
    manifest = canonical_json(document)
    if len(manifest) > MAX_MANIFEST:
        raise InvalidInput(f"The manifest of {version} has {len(manifest)} bytes; registries take {MAX_MANIFEST}.")
    return manifest, config


def unpack(raw: bytes) -> Package:
    """Read an OCI manifest, which is a stranger's.

    Raises:
        InvalidAdapter: it holds no model, or its layers are not files as they are.
        Corrupted: the version's manifest that travelled is not what its digest says.
    """
    document = read_object(raw, "The OCI manifest")
    if document.get("artifactType") != ARTIFACT and _media_type(document.get("config")) != CONFIG:
        raise InvalidAdapter("What lies there is no model package.", f"Its artifactType should be {ARTIFACT}.")
    layers = document.get("layers")
    if not isinstance(layers, list):
        raise InvalidAdapter("The OCI manifest has no layers.")
    found = {entry.path: entry for entry in map(_entry, layers) if entry}
    annotations = document.get("annotations")
    manifest = _travelled(annotations) if isinstance(annotations, dict) else None
    if manifest and {entry for path, entry in found.items() if path != SIGNATURE_FILE} != set(manifest.files):
        raise Corrupted("The layers are not the files that the version's manifest names.", "Export it again.")
    return Package(layers=tuple(found.values()), manifest=manifest)


def _layer(path: str, size: int, digest: str) -> dict[str, Any]:
    kind = {"adapter_model.safetensors": WEIGHT, "adapter_config.json": WEIGHT_CONFIG}.get(path, DOC)
    return {"mediaType": kind, "digest": digest, "size": size, "annotations": {FILEPATH: path, TITLE: path}}


def _config(version: AdapterVersion, architecture: str, digests: list[str]) -> dict[str, Any]:
    return {
        "descriptor": {
            "createdAt": to_text(version.created),
            "name": version.name,
            "version": str(version.number),
            "title": f"LoRA adapter of rank {version.manifest.lora.rank} for {version.manifest.base_name}",
        },
        "config": {"architecture": architecture, "format": "safetensors"},
        "modelfs": {"type": "layers", "diffIds": digests},
    }


def _entry(layer: Any) -> FileEntry | None:
    """The file that a layer is, where it is one that a push takes."""
    if not isinstance(layer, dict):
        raise InvalidAdapter("A layer of the OCI manifest is no object.")
    annotations = layer.get("annotations")
    annotations = annotations if isinstance(annotations, dict) else {}
    path = annotations.get(FILEPATH) or annotations.get(TITLE)
    limit = MAX_SIGNATURE if path == SIGNATURE_FILE else KEPT.get(path) if isinstance(path, str) else None
    if limit is None:
        return None
    size, digest = layer.get("size"), layer.get("digest")
    if layer.get("mediaType") not in RAW:
        kind = shown(str(layer.get("mediaType")))
        raise InvalidAdapter(f"The layer {path} is {kind}; a file as it is (….raw) was expected.", "Pack it as raw.")
    if not _is_digest(digest) or type(size) is not int or not 0 <= size <= limit:
        raise InvalidAdapter(f"The layer {path} has no SHA-256 digest, or a size that is not 0 to {limit}.")
    return FileEntry(str(path), size, str(digest))


def _travelled(annotations: dict[str, Any]) -> Manifest | None:
    text = annotations.get(MANIFEST)
    if not isinstance(text, str):
        return None
    try:
        manifest = Manifest.from_json(read_object(text.encode("utf-8"), "The version's manifest"))
    except (KeyError, TypeError, ValueError, AttributeError, InvalidInput) as error:
        raise Corrupted("The version's manifest that travelled cannot be read.", "Export it again.") from error
    if manifest.digest != annotations.get(DIGEST) or manifest.to_bytes() != text.encode("utf-8"):
        raise Corrupted("The version's manifest that travelled is not what its digest says.", "Export it again.")
    return manifest


def _media_type(descriptor: Any) -> Any:
    return descriptor.get("mediaType") if isinstance(descriptor, dict) else None


def _is_digest(digest: Any) -> bool:
    hexadecimal = digest.removeprefix("sha256:") if isinstance(digest, str) else ""
    return len(hexadecimal) == 64 and set(hexadecimal) <= set("0123456789abcdef") and digest != hexadecimal
