"""Registry: the door to everything that is kept, in a folder or behind a server; each noun has its own room."""

from registry import rooms, upkeep
from registry.release_room import Releases
from registry.settings import Settings


class Registry:
    """What callers hold: ``EmbeddedRegistry`` and ``RemoteRegistry`` fill the same rooms.

    Attributes:
        bases: bases that versions were admitted against.
        versions: push, get, list, pull.
        aliases: promote, rollback, list, history.
        releases: new versions that take over aliases step by step.
        profiles: what serves.
        replicas: servers that run.
        reports: what evals found.
        artifacts: exported forms.
        signatures: who signed versions.
        signing_policies: which names need whose signature.
        events: the outbox.
        webhooks: who is told of them.
        audit: who did what.
        keys: who may ask.
        usage: what they used.
        verification: proof that all is as it was.
        marks: deprecations and tags.
        deletions: versions on their way out, and tombstones.
        retention: rules that say which versions are kept.
        collection: garbage collection.
    """

    bases: rooms.Bases
    versions: rooms.Versions
    aliases: rooms.Aliases
    releases: Releases
    profiles: rooms.Profiles
    replicas: rooms.Replicas
    reports: rooms.Reports
    artifacts: rooms.Artifacts
    signatures: rooms.Signatures
    signing_policies: rooms.SigningPolicies
    events: rooms.Events
    webhooks: rooms.Webhooks
    audit: rooms.Audit
    keys: rooms.Keys
    usage: rooms.UsageBook
    verification: rooms.Verification
    marks: upkeep.Marks
    deletions: upkeep.Deletions
    retention: upkeep.Retention
    collection: upkeep.Collection

    @classmethod
    def open(cls, settings: Settings) -> "Registry":
        """Open the registry that the settings name, a server's or stores; an empty folder or database becomes one.

        Raises:
            InvalidInput: the location is none.
            Refused: a database has another schema than this program.
            Unavailable: a database does not answer.
        """
        if settings.registry.startswith(("http://", "https://")):
            from registry.remote.registry import RemoteRegistry

            return RemoteRegistry(settings.registry, settings.api_key)
        from registry.embedded.registry import EmbeddedRegistry
        from registry.embedded.stores import open_stores

        registry = EmbeddedRegistry(open_stores(settings))
        registry.opened_by(settings.actor)
        return registry

    def close(self) -> None:
        """Give connections back."""
