"""Versions: push, find, list and pull."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select, update

from registry.admission import admit
from registry.base_model import BaseModel
from registry.embedded.blobs import Blobs, OnBytes, folder_made_whole
from registry.embedded.database import Database
from registry.embedded.events import announce
from registry.embedded.known_bases import KnownBases
from registry.embedded.tables import adapters, aliases, bases, versions
from registry.errors import Conflict, InvalidAdapter, InvalidReference, NotFound
from registry.files import FileEntry
from registry.manifest import LoraConfig, Manifest
from registry.refs import AdapterRef, valid_name
from registry.run_folder import Record, kept_files, read_record
from registry.times import from_text, now, to_text
from registry.version import AdapterVersion


@dataclass(frozen=True, slots=True)
class Push:
    """What a push did.

    Attributes:
        version: the version that holds the content now.
        created: False where the same content was there already.
    """

    version: AdapterVersion
    created: bool


class Versions:
    """Every version of every adapter."""

    def __init__(self, database: Database, blobs: Blobs, known_bases: KnownBases) -> None:
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
            on_bytes: hears the size of each piece that was copied.

        Raises:
            InvalidAdapter: admission refused it.
            Conflict: the name belongs to a base.
        """
        valid_name(name)
        files, record = kept_files(folder), read_record(folder)
        base = base or self._base_of(record)
        if record.base_fingerprint and record.base_fingerprint != base.fingerprint:
            raise InvalidAdapter(
                f"The adapter was trained on the base {record.base_name} ({record.base_fingerprint[:19]}…), "
                f"not on {base.name} ({base.fingerprint[:19]}…).",
                "Prepare that base, or train again on this one.",
            )
        with self._blobs.stage() as staged:
            entries = tuple(self._blobs.copy_in(folder / file, staged, file, on_bytes) for file in files)
            manifest = _manifest(entries, base, admit(staged, base).lora, record)
            self._blobs.keep(staged, entries)
        self._known_bases.add(base)
        with self._database.write() as connection:
            return _make_visible(connection, name, manifest, actor, note)

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
        query = select(versions).order_by(versions.c.name, versions.c.number)
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

    def _base_of(self, record: Record) -> BaseModel:
        if not record.base_fingerprint:
            raise InvalidAdapter("The adapter does not say which base it was trained on.", "Name it with --base NAME.")
        return self._known_bases.get(record.base_fingerprint)


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
    return _version(rows[0])


def _not_found(connection: Connection, ref: AdapterRef) -> NotFound:
    count = _prove_known(connection, ref.name)
    if ref.alias is None:
        return NotFound(f"There is no {ref}; {ref.name} has the versions 1 to {count}.", f"registry show {ref.name}:1")
    return NotFound(f"{ref.name} has no alias {ref.alias} yet.", f"registry promote {ref.name}:{count} {ref.alias}")


def _prove_known(connection: Connection, name: str) -> int:
    count = connection.scalar(select(adapters.c.versions).where(adapters.c.name == name))
    if not count:
        raise NotFound(f"No adapter is called {name}.", "registry list")
    return int(count)


def _manifest(entries: tuple[FileEntry, ...], base: BaseModel, lora: LoraConfig, record: Record) -> Manifest:
    return Manifest(
        files=entries,
        base_name=base.name,
        base_fingerprint=base.fingerprint,
        lora=lora,
        recipe=record.recipe,
        data=record.data,
        metrics=record.metrics,
        code=record.code,
    )


def _make_visible(connection: Connection, name: str, manifest: Manifest, actor: str, note: str) -> Push:
    digest = manifest.digest
    twin = select(versions).where(versions.c.name == name, versions.c.digest == digest)
    if row := connection.execute(twin).one_or_none():
        return Push(_version(row), created=False)
    if connection.scalar(select(bases.c.name).where(bases.c.name == name)):
        raise Conflict(f"{name} is a base's name.", "Push the adapter under another name.")
    number = _next_number(connection, name)
    connection.execute(
        insert(versions).values(
            name=name,
            number=number,
            digest=digest,
            base_fingerprint=manifest.base_fingerprint,
            manifest=manifest.to_bytes().decode("utf-8"),
            created=to_text(now()),
            actor=actor,
            note=note,
        )
    )
    announce(connection, "version", name, {"number": number, "digest": digest})
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
