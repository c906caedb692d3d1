"""Registry: the embedded registry, one folder with a SQLite file and content-addressed blobs."""

from pathlib import Path

from registry.embedded.aliases import Aliases
from registry.embedded.api_keys import Keys
from registry.embedded.artifacts import Artifacts
from registry.embedded.blobs import Blobs
from registry.embedded.database import Database
from registry.embedded.events import Events
from registry.embedded.known_bases import KnownBases
from registry.embedded.profiles import Profiles
from registry.embedded.replicas import Replicas
from registry.embedded.reports import Reports
from registry.embedded.usage import UsageBook
from registry.embedded.verification import Verification
from registry.embedded.versions import Versions
from registry.errors import InvalidInput
from registry.settings import Settings


class Registry:
    """The door to everything that is kept; each noun has its own room.

    Attributes:
        bases: bases that versions were admitted against.
        versions: push, get, list, pull.
        aliases: promote, rollback, list, history.
        profiles: what serves.
        replicas: servers that run.
        reports: what evals found.
        artifacts: exported forms.
        events: the outbox.
        keys: who may ask.
        usage: what they used.
        verification: proof that all is as it was.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        blobs = Blobs(folder / "blobs")
        self._database = Database(folder / "registry.db")
        self.bases = KnownBases(self._database)
        self.versions = Versions(self._database, blobs, self.bases)
        self.aliases = Aliases(self._database)
        self.profiles = Profiles(self._database)
        self.replicas = Replicas(self._database)
        self.reports = Reports(self._database)
        self.artifacts = Artifacts(self._database, blobs)
        self.events = Events(self._database)
        self.keys = Keys(self._database)
        self.usage = UsageBook(self._database)
        self.verification = Verification(self._database, blobs)

    @classmethod
    def open(cls, settings: Settings) -> "Registry":
        """Open the registry that the settings name; an empty folder becomes one.

        Raises:
            InvalidInput: the location is no folder.
        """
        if "://" in settings.registry:
            raise InvalidInput(
                f"ADAPTORY_REGISTRY is {settings.registry}; a folder was expected.", "Unset it, or name a folder."
            )
        return cls(Path(settings.registry).expanduser().absolute())

    def close(self) -> None:
        """Give the database's connections back."""
        self._database.close()
