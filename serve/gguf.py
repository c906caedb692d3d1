"""GGUFs: which exported form of a version this server answers from."""

from collections.abc import Sequence
from pathlib import Path

from registry.artifact import Artifact
from registry.errors import NotFound
from registry.files import FileEntry
from registry.store import Registry
from registry.version import AdapterVersion

FORM = "gguf"


def chosen_quant(registry: Registry, version: AdapterVersion, asked: str | None) -> str:
    """The quantisation to serve: as asked, or the one of this version's GGUFs that is closest to 16 bits.

    Raises:
        NotFound: it has no such GGUF.
    """
    found = {
        artifact.quant: artifact.size for artifact in registry.artifacts.list(version.digest) if artifact.form == FORM
    }
    if not found or (asked and asked not in found):
        told = f"; it has {', '.join(sorted(found))}" if found else ""
        raise NotFound(f"{version} has no GGUF{f' {asked}' if asked else ''}{told}.", export_hint(version, asked))
    return asked or max(found, key=lambda quant: found[quant])


def export_hint(version: AdapterVersion, quant: str | None) -> str:
    """What to type for it."""
    return f"adaptory export {version} --to gguf" + (f" --quant {quant}" if quant else "")


class Ggufs:
    """The files of versions, as ``DiskCache`` wants them: one quantisation, made by ``adaptory export``."""

    def __init__(self, registry: Registry, quant: str) -> None:
        self._registry = registry
        self._quant = quant
        self._found: dict[str, Artifact] = {}

    def pull(self, version: AdapterVersion, target: Path) -> None:
        """Copy the GGUF into the new folder ``target``, verified. Blocks.

        Raises:
            NotFound: it was not exported.
            Corrupted: the registry's copy is damaged.
        """
        self._registry.artifacts.pull(self._artifact(version), target)

    def files(self, version: AdapterVersion) -> Sequence[FileEntry]:
        """What the GGUF consists of. Blocks the first time.

        Raises:
            NotFound: it was not exported.
        """
        return self._artifact(version).files

    def _artifact(self, version: AdapterVersion) -> Artifact:
        artifact = self._found.get(version.digest)
        if artifact is None:
            artifact = self._registry.artifacts.find(version.digest, FORM, self._quant)
            if artifact is None:
                raise NotFound(f"{version} has no GGUF {self._quant}.", export_hint(version, self._quant))
            self._found[version.digest] = artifact
        return artifact
