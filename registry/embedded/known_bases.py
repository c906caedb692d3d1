"""KnownBases: the bases that versions in the registry were admitted against."""

import json
from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from registry.base_model import BaseModel
from registry.embedded.audit import record
from registry.embedded.database import Database
from registry.embedded.tables import adapters, bases
from registry.errors import Conflict, NotFound
from registry.refs import valid_name
from registry.times import now, to_text


class KnownBases:
    """Records of bases, so that whoever reads a version knows the shapes it must fit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, base: BaseModel) -> None:
        """Record a base; the same base again changes nothing.

        Raises:
            Conflict: its name is taken by another base or by an adapter, or it is known with other layers.
            InvalidReference: it is new, and its name is none.
        """
        with self._database.write() as connection:
            self._add(connection, base)

    def prove(self, base: BaseModel) -> None:
        """Prove that a base, where it is known, is what the registry knows of it.

        Raises:
            Conflict: it has other layers or another architecture.
        """
        with self._database.read() as connection:
            _prove_same(connection, base)

    def get(self, fingerprint: str) -> BaseModel:
        """Find a base by fingerprint.

        Raises:
            NotFound: no version was ever pushed for it.
        """
        with self._database.read() as connection:
            document = connection.scalar(select(bases.c.document).where(bases.c.fingerprint == fingerprint))
        if document is None:
            raise NotFound(f"The registry knows no base {fingerprint[:19]}….")
        return BaseModel.from_json(json.loads(document))

    def list(self) -> Sequence[BaseModel]:
        """All bases, by name."""
        with self._database.read() as connection:
            documents = connection.scalars(select(bases.c.document).order_by(bases.c.name)).all()
        return [BaseModel.from_json(json.loads(document)) for document in documents]

    def _add(self, connection: Connection, base: BaseModel) -> None:
        _prove_same(connection, base)
        if connection.scalar(select(bases.c.name).where(bases.c.fingerprint == base.fingerprint)):
            return  # under another name perhaps: the first name stays
        valid_name(base.name)
        known = connection.scalar(select(bases.c.fingerprint).where(bases.c.name == base.name))
        if known is not None:
            raise Conflict(
                f"The registry knows another base called {base.name} ({known[:19]}…).",
                "Prepare this one under another name.",
            )
        if connection.scalar(select(adapters.c.name).where(adapters.c.name == base.name)):
            raise Conflict(f"{base.name} is an adapter's name.", "Prepare the base under another name.")
        connection.execute(
            insert(bases).values(
                fingerprint=base.fingerprint,
                name=base.name,
                document=json.dumps(base.to_json()),
                created=to_text(now()),
            )
        )
        record(connection, "base", base.name, {"fingerprint": base.fingerprint})


def _prove_same(connection: Connection, base: BaseModel) -> None:
    """The fingerprint covers the weights only: what else admission goes by is what the first push said."""
    document = connection.scalar(select(bases.c.document).where(bases.c.fingerprint == base.fingerprint))
    if document is None:
        return
    known = BaseModel.from_json(json.loads(document))
    if (known.architecture, dict(known.modules)) != (base.architecture, dict(base.modules)):
        raise Conflict(
            f"The registry knows the base {base.name} ({base.fingerprint[:19]}…) with other layers than were sent now.",
            f"Prepare {base.name} again with this version of Adaptory.",
        )
