"""Profiles: which set-up serves a base."""

import json

from sqlalchemy import delete, insert, select

from registry.embedded.database import Database
from registry.embedded.events import announce
from registry.embedded.gate import serving
from registry.embedded.tables import profiles
from registry.profile import ServingProfile
from registry.times import now, to_text


class Profiles:
    """Every set-up that ever served."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, profile: ServingProfile) -> None:
        """Say that this profile serves its base from now on."""
        with self._database.write() as connection:
            connection.execute(delete(profiles).where(profiles.c.fingerprint == profile.fingerprint))
            connection.execute(
                insert(profiles).values(
                    fingerprint=profile.fingerprint,
                    base_fingerprint=profile.base_fingerprint,
                    document=json.dumps(profile.to_json()),
                    serving_since=to_text(now()),
                )
            )
            announce(connection, "profile", profile.base_name, {"fingerprint": profile.fingerprint})

    def serving(self, base_fingerprint: str) -> ServingProfile | None:
        """The profile that serves a base, or served it last."""
        with self._database.read() as connection:
            fingerprint = serving(connection, base_fingerprint)
            query = select(profiles.c.document).where(profiles.c.fingerprint == fingerprint)
            document = connection.scalar(query)
        return ServingProfile.from_json(json.loads(document)) if document else None
