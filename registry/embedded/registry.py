"""EmbeddedRegistry: every room opened in this process, over a database and a blob store."""

from pathlib import Path

from registry.embedded.aliases import Aliases
from registry.embedded.api_keys import Keys
from registry.embedded.artifacts import Artifacts
from registry.embedded.audit import Audit, opened_by
from registry.embedded.blob_store import BlobStore
from registry.embedded.collection import Collection
from registry.embedded.deletions import Deletions
from registry.embedded.deliveries import Deliveries
from registry.embedded.events import Events
from registry.embedded.known_bases import KnownBases
from registry.embedded.marks import Marks
from registry.embedded.profiles import Profiles
from registry.embedded.releases import Releases
from registry.embedded.replicas import Replicas
from registry.embedded.reports import Reports
from registry.embedded.retention import Retention
from registry.embedded.signatures import Signatures
from registry.embedded.signing_policies import SigningPolicies
from registry.embedded.stores import Stores, open_folder
from registry.embedded.usage import UsageBook
from registry.embedded.verification import Verification
from registry.embedded.versions import Versions
from registry.embedded.webhooks import Webhooks
from registry.store import Registry


class EmbeddedRegistry(Registry):
    """Tables and blobs, without a server between.

    Attributes:
        blobs: the content that versions and artifacts name.
        deliveries: what is due to webhooks.
    """

    bases: KnownBases
    versions: Versions
    aliases: Aliases
    releases: Releases
    profiles: Profiles
    replicas: Replicas
    reports: Reports
    artifacts: Artifacts
    signatures: Signatures
    signing_policies: SigningPolicies
    events: Events
    webhooks: Webhooks
    audit: Audit
    keys: Keys
    usage: UsageBook
    verification: Verification
    marks: Marks
    deletions: Deletions
    retention: Retention
    collection: Collection

    def __init__(self, place: Path | Stores) -> None:
        """A folder, which becomes a registry where it is empty, or stores that are open."""
        stores = open_folder(place) if isinstance(place, Path) else place
        self.blobs: BlobStore = stores.blobs
        self._database = stores.database
        self.bases = KnownBases(self._database)
        self.versions = Versions(self._database, self.blobs, self.bases)
        self.aliases = Aliases(self._database)
        self.releases = Releases(self._database)
        self.profiles = Profiles(self._database)
        self.replicas = Replicas(self._database)
        self.reports = Reports(self._database)
        self.artifacts = Artifacts(self._database, self.blobs)
        self.signatures = Signatures(self._database)
        self.signing_policies = SigningPolicies(self._database)
        self.events = Events(self._database)
        self.webhooks = Webhooks(self._database)
        self.deliveries = Deliveries(self._database)
        self.audit = Audit(self._database)
        self.keys = Keys(self._database)
        self.usage = UsageBook(self._database)
        self.verification = Verification(self._database, self.blobs)
        self.marks = Marks(self._database)
        self.deletions = Deletions(self._database)
        self.retention = Retention(self._database)
        self.collection = Collection(self._database, self.blobs, apart=stores.apart)

    def opened_by(self, actor: str) -> None:
        """Name who is behind changes that nobody else is named for, in the audit."""
        opened_by(self._database, actor)

    def close(self) -> None:
        """Give the database's connections back."""
        self._database.close()
