"""RemoteRegistry: every room behind a server."""

from typing import NoReturn

from registry.errors import Refused
from registry.remote.aliases import Aliases
from registry.remote.artifacts import Artifacts
from registry.remote.audit import Audit
from registry.remote.connection import Connection
from registry.remote.events import Events
from registry.remote.evidence import Bases, Profiles, Reports
from registry.remote.releases import Releases
from registry.remote.running import Keys, Replicas, UsageBook
from registry.remote.signatures import Signatures, SigningPolicies
from registry.remote.upkeep import Collection, Deletions, Marks, Retention
from registry.remote.versions import Versions
from registry.remote.webhooks import Webhooks
from registry.store import Registry


class RemoteRegistry(Registry):
    """What ``registry serve`` serves, as far as the key reaches."""

    events: Events

    def __init__(self, url: str, api_key: str = "") -> None:
        """Nothing is asked yet; ``url`` is ``http(s)://HOST:PORT``."""
        self._connection = Connection(url, api_key)
        self.bases = Bases(self._connection)
        self.versions = Versions(self._connection)
        self.aliases = Aliases(self._connection)
        self.releases = Releases(self._connection)
        self.profiles = Profiles(self._connection)
        self.replicas = Replicas(self._connection)
        self.reports = Reports(self._connection)
        self.artifacts = Artifacts(self._connection)
        self.signatures = Signatures(self._connection)
        self.signing_policies = SigningPolicies(self._connection)
        self.events = Events(self._connection)
        self.webhooks = Webhooks(self._connection)
        self.audit = Audit(self._connection)
        self.keys = Keys(self._connection)
        self.usage = UsageBook(self._connection)
        self.marks = Marks(self._connection)
        self.deletions = Deletions(self._connection)
        self.retention = Retention(self._connection)
        self.collection = Collection(self._connection)

    def close(self) -> None:
        """Close the connections, and end the stream of events."""
        self.events.close()
        self._connection.close()

    def __getattr__(self, room: str) -> NoReturn:
        """A room that has no door to the outside."""
        if room.startswith("_") or room not in Registry.__annotations__:
            raise AttributeError(room)
        raise Refused(
            f"The registry's {room.replace('_', ' ')} cannot be reached through a server.",
            "Run this where the registry lies, with ADAPTORY_REGISTRY=FOLDER.",
        )
