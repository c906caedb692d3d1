"""Stores: the database and the blob store that a registry consists of, opened from its settings."""

from dataclasses import dataclass
from pathlib import Path

from registry.embedded.blob_store import BlobStore
from registry.embedded.blobs import Blobs
from registry.embedded.database import Database
from registry.embedded.schema import bring_up
from registry.embedded.sqlite import open_sqlite
from registry.errors import InvalidInput
from registry.optional import require
from registry.settings import Settings

POSTGRES = ("postgresql://", "postgres://")


@dataclass(frozen=True, slots=True)
class Stores:
    """Where rows are, and where bytes are.

    Attributes:
        database: rows.
        blobs: bytes.
        apart: whether the bytes lie in a place of their own, which might be another registry's.
    """

    database: Database
    blobs: BlobStore
    apart: bool

    def close(self) -> None:
        """Give the database's connections back."""
        self.database.close()


def open_stores(settings: Settings) -> Stores:
    """Open both, and bring the database to the present schema where nobody else can mind.

    Raises:
        InvalidInput: a location that is none.
        MissingPackage: the extra ``scale`` is not installed.
        Refused: the schema does not fit this program.
        Unavailable: the database does not answer.
    """
    blobs = open_blobs(settings)
    return _brought_up(Stores(open_database(settings), blobs, apart=bool(settings.blobs)))


def open_folder(folder: Path) -> Stores:
    """The registry in a folder; an empty folder becomes one."""
    folder.mkdir(parents=True, exist_ok=True)
    return _brought_up(Stores(open_sqlite(folder / "registry.db"), Blobs(folder / "blobs"), apart=False))


def open_database(settings: Settings) -> Database:
    """The database alone, with whatever schema it has."""
    if settings.registry.startswith(POSTGRES):
        require("scale", {"psycopg": "psycopg[binary]"})
        from registry.embedded.postgres import open_postgres

        return open_postgres(settings.registry)
    folder = _folder(settings.registry, "ADAPTORY_REGISTRY", "a folder, or postgresql://user:password@host/database")
    folder.mkdir(parents=True, exist_ok=True)
    return open_sqlite(folder / "registry.db")


def open_blobs(settings: Settings) -> BlobStore:
    """The blob store alone: by default ``blobs`` in the registry's folder."""
    if settings.blobs.startswith("s3://"):
        require("scale", {"obstore": "obstore"})
        from registry.embedded.s3_blobs import S3Blobs

        return S3Blobs(settings.blobs, settings.s3, settings.cache / "staging")
    expected = "a folder, or s3://bucket/prefix"
    if settings.blobs:
        return Blobs(_folder(settings.blobs, "ADAPTORY_BLOBS", expected))
    if settings.registry.startswith(POSTGRES):
        raise InvalidInput(f"A registry in PostgreSQL needs ADAPTORY_BLOBS: {expected}.")
    return Blobs(_folder(settings.registry, "ADAPTORY_REGISTRY", "a folder") / "blobs")


def _brought_up(stores: Stores) -> Stores:
    try:
        bring_up(stores.database)
    except BaseException:
        stores.database.close()
        raise
    return stores


def _folder(location: str, variable: str, expected: str) -> Path:
    scheme, separator, _ = location.partition("://")
    if separator:
        raise InvalidInput(f"{variable} begins with {scheme}://; {expected}, was expected.")
    return Path(location).expanduser().absolute()
