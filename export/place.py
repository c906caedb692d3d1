"""Place an artifact where a person asked for it, without ever overwriting."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from export.plan import Form
from export.space import disk_full_in_one_line
from export.steps import Steps
from registry.artifact import Artifact
from registry.canonical import digest_file
from registry.errors import Conflict, InvalidInput
from registry.files import FileEntry
from registry.store import Registry


@dataclass(frozen=True, slots=True)
class Place:
    """Where an artifact goes: a GGUF is a file, merged weights are a folder."""

    path: Path
    form: Form

    @classmethod
    def of(cls, out: Path, form: Form, file_name: str) -> "Place":
        """Read ``--out``; a GGUF that goes to an existing folder keeps its own name there.

        Raises:
            InvalidInput: the folder that it would lie in does not exist.
        """
        path = out.expanduser().absolute()
        if form == "gguf" and path.is_dir():
            path = path / file_name
        if not path.parent.is_dir():
            raise InvalidInput(f"{path.parent} is not a folder.", f"mkdir -p {path.parent}")
        return cls(path, form)

    def check_free(self, artifact: Artifact | None) -> bool:
        """Whether there is something to do: False where this very artifact is there already.

        Args:
            artifact: what would be placed, if it exists already.

        Raises:
            Conflict: something else is there.
        """
        if not self.path.exists():
            return True
        if artifact and self._holds(artifact):
            return False
        raise Conflict(f"{self.path} exists already.", "Name another path with --out, or remove it.")

    def put(self, artifact: Artifact, registry: Registry, steps: Steps) -> None:
        """Copy the files out of the registry, verified; they appear whole or not at all.

        Raises:
            Conflict: something else is there.
        """
        if not self.check_free(artifact):
            return
        with disk_full_in_one_line(self.path.parent), steps.bytes("placing", artifact.size) as on_bytes:
            if self.form != "gguf":
                registry.artifacts.pull(artifact, self.path, on_bytes)
                return
            with tempfile.TemporaryDirectory(dir=self.path.parent, prefix=f".{self.path.name}.") as name:
                registry.artifacts.pull(artifact, Path(name) / "whole", on_bytes)
                (Path(name) / "whole" / artifact.files[0].path).rename(self.path)

    def _holds(self, artifact: Artifact) -> bool:
        if self.form == "gguf":
            entry = artifact.files[0]
            return self.path.is_file() and digest_file(self.path) == entry.digest
        names = sorted(file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file())
        return names == [entry.path for entry in sorted(artifact.files)] and all(
            FileEntry.of(self.path, entry.path) == entry for entry in artifact.files
        )
