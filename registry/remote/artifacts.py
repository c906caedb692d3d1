"""Artifacts of a registry behind a server."""

from collections.abc import Sequence
from pathlib import Path

from registry.artifact import Artifact
from registry.files import FileEntry
from registry.remote.connection import MOVING, Connection
from registry.remote.download import pull_files
from registry.remote.upload import send_missing
from registry.rooms import OnBytes


class Artifacts:
    """Exported forms, children of versions."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, artifact: Artifact, folder: Path, on_bytes: OnBytes = None) -> Artifact:
        """Send the files of ``folder``, as far as the server lacks them; one of the same form and quant is replaced."""
        paths = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        entries = [FileEntry.of(folder, path) for path in paths]
        send_missing(self._connection, folder, {"version": artifact.version_digest}, entries, on_bytes)
        document = {
            "version_digest": artifact.version_digest,
            "form": artifact.form,
            "quant": artifact.quant,
            "recipe": artifact.recipe,
            "drift": artifact.drift,
            "files": entries,
        }
        kept: Artifact = self._connection.ask(Artifact, "POST", "/artifacts", json=document, silence=MOVING)
        return kept

    def list(self, version_digest: str) -> Sequence[Artifact]:
        """The artifacts of a version, by form and quant."""
        artifacts: Sequence[Artifact] = self._connection.ask(
            Sequence[Artifact], "GET", "/artifacts", params={"version": version_digest}
        )
        return artifacts

    def find(self, version_digest: str, form: str, quant: str) -> Artifact | None:
        """One artifact, or None."""
        return next((one for one in self.list(version_digest) if (one.form, one.quant) == (form, quant)), None)

    def pull(self, artifact: Artifact, target: Path, on_bytes: OnBytes = None) -> None:
        """Copy the files into the new folder ``target``, verified and whole, or not at all."""
        pull_files(self._connection, artifact.version_digest, artifact.files, target, on_bytes)
