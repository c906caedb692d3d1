"""Artifacts: merged and converted forms, kept as children of a version."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import delete, insert, select

from registry.artifact import Artifact
from registry.embedded.blob_store import BlobStore, OnBytes, prove_kept
from registry.embedded.blobs import folder_made_whole
from registry.embedded.database import Database
from registry.embedded.events import announce
from registry.embedded.seal import prove_whole, sealed
from registry.embedded.tables import artifacts, versions
from registry.errors import Conflict, NotFound
from registry.files import FileEntry
from registry.times import now, to_text


class Artifacts:
    """Every artifact of every version."""

    def __init__(self, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs

    def add(self, artifact: Artifact, folder: Path, on_bytes: OnBytes = None) -> Artifact:
        """Store the files of ``folder`` as an artifact; one of the same form and quant is replaced.

        Args:
            artifact: what it is; its ``files`` and ``created`` are filled in here.
            folder: holds the files, perhaps in sub-folders.
            on_bytes: hears the size of each piece that was copied.
        """
        paths = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        with self._blobs.stage() as staged:
            entries = tuple(self._blobs.copy_in(folder / path, staged, path, on_bytes) for path in paths)
            return self.keep(artifact, staged, entries, on_bytes)

    def keep(
        self, artifact: Artifact, staged: Path, entries: tuple[FileEntry, ...], on_bytes: OnBytes = None
    ) -> Artifact:
        """Store the artifact whose files lie in ``staged``, a folder of the blob store's ``stage``.

        Args:
            artifact: as in ``add``.
            staged: its files are kept, and so taken out of it.
            entries: exactly the files in it, as they were hashed when they were written there.
            on_bytes: as in ``add``.
        """
        self._blobs.keep(staged, entries, on_bytes)
        artifact = replace(artifact, files=entries, created=now())
        with self._database.write() as connection:
            connection.execute(delete(artifacts).where(*_key(artifact.version_digest, artifact.form, artifact.quant)))
            row = {
                "version_digest": artifact.version_digest,
                "form": artifact.form,
                "quant": artifact.quant,
                "document": json.dumps(artifact.to_json()),
                "created": to_text(now()),
            }
            connection.execute(insert(artifacts).values(**sealed(row)))
            prove_kept(self._blobs, staged, entries)
            named = select(versions.c.name).where(versions.c.digest == artifact.version_digest).distinct()
            names = connection.scalars(named).all()
            if not names:
                raise NotFound(f"The version {artifact.version_digest[:19]}… was deleted meanwhile.")
            for name in names:
                payload = {"digest": artifact.version_digest, "form": artifact.form, "quant": artifact.quant}
                announce(connection, "artifact", name, payload)
        return artifact

    def list(self, version_digest: str) -> Sequence[Artifact]:
        """The artifacts of a version, by form and quant."""
        query = (
            select(artifacts)
            .where(artifacts.c.version_digest == version_digest)
            .order_by(artifacts.c.form, artifacts.c.quant)
        )
        with self._database.read() as connection:
            return [_artifact(row) for row in connection.execute(query)]

    def find(self, version_digest: str, form: str, quant: str) -> Artifact | None:
        """One artifact, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(artifacts).where(*_key(version_digest, form, quant))).one_or_none()
        return _artifact(row) if row else None

    def pull(self, artifact: Artifact, target: Path, on_bytes: OnBytes = None) -> None:
        """Copy an artifact's files into the new folder ``target``, verified; it appears whole or not at all.

        Raises:
            Conflict: ``target`` exists.
            Corrupted: the registry's disk holds other bytes than were stored.
        """
        if target.exists():
            raise Conflict(f"{target} exists already.", "Name another folder with --out.")
        with folder_made_whole(target) as folder:
            for entry in artifact.files:
                self._blobs.copy_out(entry, folder / entry.path, on_bytes)


def _key(version_digest: str, form: str, quant: str) -> tuple[Any, ...]:
    return artifacts.c.version_digest == version_digest, artifacts.c.form == form, artifacts.c.quant == quant


def _artifact(row: Any) -> Artifact:
    prove_whole(row, f"an artifact of {row.version_digest[:19]}…")
    return Artifact.from_json(json.loads(row.document))
