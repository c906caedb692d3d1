"""Versions: push, find, list and pull."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from registry.admission import admit, admit_headers
from registry.base_model import BaseModel
from registry.embedded.blob_store import BlobStore, OnBytes, prove_kept
from registry.embedded.blobs import folder_made_whole
from registry.embedded.database import Database
from registry.embedded.events import announce
from registry.embedded.known_bases import KnownBases
from registry.embedded.seal import prove_whole, sealed
from registry.embedded.signatures import keep_signatures, prove_each, prove_signed
from registry.embedded.tables import adapters, aliases, bases, versions
from registry.embedded.tombstones import deletion_of, not_deleted
from registry.errors import Conflict, InvalidAdapter, InvalidReference, NotFound
from registry.files import FileEntry
from registry.manifest import Manifest
from registry.planned import manifest_of
from registry.refs import AdapterRef, valid_name
from registry.run_folder import Record, kept_files, prove_only_kept, read_record
from registry.signature import Signature
from registry.times import from_text, now, to_text
from registry.version import AdapterVersion, Push


class Versions:
    """Every version of every adapter."""

    def __init__(self, database: Database, blobs: BlobStore, known_bases: KnownBases) -> None:
        self._database = database
        self._blobs = blobs
        self._known_bases = known_bases

    def push(
        self,
        folder: Path,
        name: str,
        *,
        actor: str,
        base: BaseModel | None = None,
        note: str = "",
        signatures: Sequence[Signature] = (),
        on_bytes: OnBytes = None,
    ) -> Push:
        """Admit the adapter in ``folder`` and make it the next version of ``name``.

        The files are copied first and proved where they lie; one transaction then makes the version visible.

        Args:
            folder: a run folder, or any folder in PEFT's layout.
            name: the adapter's name.
            actor: who pushes.
            base: the base it was trained on; None where the registry knows it from an earlier push.
            note: a line for people.
            signatures: of the manifest that this will be (``registry.planned.planned``).
            on_bytes: hears the size of each piece that was copied.

        Raises:
            InvalidAdapter: admission refused it.
            Conflict: the name belongs to a base, or the registry knows the base with other layers.
            Refused: a signature is not valid, or the name needs one that is missing.
        """
        valid_name(name)
        files = kept_files(folder)
        base = self._base_of(read_record(folder), base)
        admit_headers(folder, base)  # before anything is copied
        with self._blobs.stage() as staged:
            entries = tuple(self._blobs.copy_in(folder / file, staged, file, on_bytes) for file in files)
            return self.admit(
                staged, entries, name, actor=actor, base=base, note=note, signatures=signatures, on_bytes=on_bytes
            )

    def admit(
        self,
        staged: Path,
        entries: tuple[FileEntry, ...],
        name: str,
        *,
        actor: str,
        base: BaseModel | None,
        note: str,
        signatures: Sequence[Signature] = (),
        on_bytes: OnBytes = None,
    ) -> Push:
        """Prove the adapter that lies in ``staged`` and make it the next version of ``name``.

        Args:
            staged: a folder of the blob store's ``stage``; its files are kept, and so taken out of it.
            entries: exactly the files in it, as they were hashed when they were written there.
            name: as in ``push``, which raises the same errors; so are the others.
            actor: who pushes.
            base: the base, or None.
            note: a line for people.
            signatures: of the manifest that this will be.
            on_bytes: hears the size of each piece that the blob store takes.
        """
        valid_name(name)
        prove_only_kept(staged, entries)
        record = read_record(staged)
        base = self._base_of(record, base)
        manifest = manifest_of(entries, base, admit(staged, base).lora, record)
        prove_each(signatures, manifest)
        self._blobs.keep(staged, entries, on_bytes)
        self._known_bases.add(base)
        with self._database.write() as connection:
            pushed = _make_visible(connection, name, manifest, actor, note)
            keep_signatures(connection, manifest.digest, signatures, actor)
            prove_signed(connection, name, pushed.version.digest)
            prove_kept(self._blobs, staged, entries)
        return pushed

    def get(self, ref: AdapterRef | str) -> AdapterVersion:
        """Find the version that a reference names.

        Raises:
            InvalidReference: the text is no reference, or its digest fits several versions.
            NotFound: nothing has this name.
        """
        with self._database.read() as connection:
            return find(connection, AdapterRef.parse(ref) if isinstance(ref, str) else ref)

    def list(self, name: str | None = None) -> Sequence[AdapterVersion]:
        """Versions by name and number, of one adapter or of all.

        Raises:
            NotFound: no adapter has this name.
        """
        query = select(versions).where(not_deleted()).order_by(versions.c.name, versions.c.number)
        with self._database.read() as connection:
            if name is not None:
                _prove_known(connection, name)
                query = query.where(versions.c.name == name)
            return [_version(row) for row in connection.execute(query)]

    def pull(self, version: AdapterVersion, target: Path, on_bytes: OnBytes = None) -> None:
        """Copy a version's files into the new folder ``target``, verified; it appears whole or not at all.

        Raises:
            Conflict: ``target`` exists.
            Corrupted: the registry's disk holds other bytes than were pushed.
        """
        if target.exists():
            raise Conflict(f"{target} exists already.", "Name another folder with --out.")
        with folder_made_whole(target) as folder:
            for entry in version.manifest.files:
                self._blobs.copy_out(entry, folder / entry.path, on_bytes)

    def with_digest(self, digest: str) -> Sequence[AdapterVersion]:
        """The version of this very digest, under each name that has it."""
        with self._database.read() as connection:
            query = select(versions).where(versions.c.digest == digest, not_deleted()).order_by(versions.c.name)
            return [_version(row) for row in connection.execute(query)]

    def _base_of(self, record: Record, base: BaseModel | None) -> BaseModel:
        if base is None and not record.base_fingerprint:
            raise InvalidAdapter("The adapter does not say which base it was trained on.", "Name it with --base NAME.")
        base = base or self._known_bases.get(record.base_fingerprint)
        if record.base_fingerprint and record.base_fingerprint != base.fingerprint:
            raise InvalidAdapter(
                f"The adapter was trained on the base {record.base_name} ({record.base_fingerprint[:19]}…), "
                f"not on {base.name} ({base.fingerprint[:19]}…).",
                "Prepare that base, or train again on this one.",
            )
        self._known_bases.prove(base)
        return base


def find(connection: Connection, ref: AdapterRef) -> AdapterVersion:
    """Find a version inside a transaction; raises as ``Versions.get`` does."""
    query = select(versions).where(versions.c.name == ref.name)
    if ref.version is not None:
        query = query.where(versions.c.number == ref.version)
    elif ref.digest is not None:
        query = query.where(versions.c.digest.startswith(ref.digest)).limit(2)
    else:
        target = select(aliases.c.number).where(aliases.c.name == ref.name, aliases.c.alias == ref.alias)
        query = query.where(versions.c.number == target.scalar_subquery())
    rows = connection.execute(query).all()
    if not rows:
        raise _not_found(connection, ref)
    if len(rows) > 1:
        raise InvalidReference(f"{ref} fits more than one version.", "Write more digits of the digest.")
    prove_whole(rows[0], f"{rows[0].name}:{rows[0].number}")
    if deletion := deletion_of(connection, rows[0].name, rows[0].number):
        raise NotFound(deletion.told, deletion.hint)
    return _version(rows[0])


def _not_found(connection: Connection, ref: AdapterRef) -> NotFound:
    count = _prove_known(connection, ref.name)
    if ref.version is not None and (deletion := deletion_of(connection, ref.name, ref.version)):
        return NotFound(deletion.told, deletion.hint)
    if ref.alias is None:
        return NotFound(f"There is no {ref}; {ref.name} has the versions 1 to {count}.", f"registry show {ref.name}:1")
    return NotFound(f"{ref.name} has no alias {ref.alias} yet.", f"registry promote {ref.name}:{count} {ref.alias}")


def _prove_known(connection: Connection, name: str) -> int:
    count = connection.scalar(select(adapters.c.versions).where(adapters.c.name == name))
    if not count:
        raise NotFound(f"No adapter is called {name}.", "registry list")
    return int(count)


def _make_visible(connection: Connection, name: str, manifest: Manifest, actor: str, note: str) -> Push:
    digest = manifest.digest
    twin = select(versions).where(versions.c.name == name, versions.c.digest == digest)
    if row := connection.execute(twin).one_or_none():
        if deletion := deletion_of(connection, name, row.number):
            raise Conflict(f"The same content was pushed before, and {deletion.told}", deletion.hint)
        return Push(_version(row), created=False)
    if connection.scalar(select(bases.c.name).where(bases.c.name == name)):
        raise Conflict(f"{name} is a base's name.", "Push the adapter under another name.")
    number = _next_number(connection, name)
    values = {
        "name": name,
        "number": number,
        "digest": digest,
        "base_fingerprint": manifest.base_fingerprint,
        "manifest": manifest.to_bytes().decode("utf-8"),
        "created": to_text(now()),
        "actor": actor,
        "note": note,
    }
    connection.execute(insert(versions).values(**sealed(values)))
    announce(connection, "version", name, {"number": number, "digest": digest}, action="push", actor=actor)
    return Push(find(connection, AdapterRef(name, version=number)), created=True)


def _next_number(connection: Connection, name: str) -> int:
    count = connection.scalar(select(adapters.c.versions).where(adapters.c.name == name))
    if count is None:
        connection.execute(insert(adapters).values(name=name, versions=1, moves=0, last_move=""))
        return 1
    connection.execute(update(adapters).where(adapters.c.name == name).values(versions=count + 1))
    return int(count) + 1


def _version(row: Any) -> AdapterVersion:
    return AdapterVersion(
        name=row.name,
        number=row.number,
        digest=row.digest,
        manifest=Manifest.from_json(json.loads(row.manifest)),
        created=from_text(row.created),
        actor=row.actor,
        note=row.note,
    )
