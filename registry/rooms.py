"""The rooms of a registry: what each noun can do, whether its tables are in this process or behind a server.

``registry.embedded`` and ``registry.remote`` each fill them; errors and meaning are the same in both. All calls block,
may be made from any thread, and raise ``Unavailable`` where the database, the disk or the server is away.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Protocol

from registry.alias import Alias, Move
from registry.api_key import ApiKey, Limits, NewKey
from registry.artifact import Artifact
from registry.audit_entry import AuditEntry
from registry.base_model import BaseModel
from registry.event import Event
from registry.files import FileEntry
from registry.profile import ServingProfile
from registry.refs import AdapterRef
from registry.replica_status import ReplicaStatus
from registry.report import EvalReport
from registry.signature import Signature
from registry.signing_policy import SigningPolicy
from registry.usage import Usage
from registry.version import AdapterVersion, Push
from registry.webhook import Delivery, NewWebhook, Webhook

OnBytes = Callable[[int], None] | None


class Bases(Protocol):
    """Bases that versions were admitted against."""

    def add(self, base: BaseModel) -> None:
        """Record a base; Conflict where its name is taken."""

    def get(self, fingerprint: str) -> BaseModel:
        """Find a base, or raise NotFound."""

    def list(self) -> Sequence[BaseModel]:
        """All bases, by name."""


class Versions(Protocol):
    """Every version of every adapter."""

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
        """Admit the adapter in ``folder`` and make it the next version of ``name``; InvalidAdapter, Conflict."""

    def get(self, ref: AdapterRef | str) -> AdapterVersion:
        """Find the version that a reference names; InvalidReference, NotFound."""

    def list(self, name: str | None = None) -> Sequence[AdapterVersion]:
        """Versions by name and number, of one adapter (NotFound) or of all."""

    def pull(self, version: AdapterVersion, target: Path, on_bytes: OnBytes = None) -> None:
        """Copy the files into the new folder ``target``, verified and whole, or not at all; Conflict, Corrupted."""


class Aliases(Protocol):
    """The movable names of versions."""

    def promote(
        self,
        ref: AdapterRef | str,
        alias: str,
        *,
        actor: str,
        reason: str = "",
        force: bool = False,
        expected: str | None = None,
    ) -> Alias:
        """Move ``alias`` to a version; NotFound, Refused, InvalidInput, Conflict.

        ``expected`` is the ``Alias.tag`` that the caller saw, ``alias.UNSET`` where it saw none; if the alias is
        somewhere else by now, nothing moves and Conflict says where it is.
        """

    def rollback(
        self,
        name: str,
        alias: str,
        *,
        actor: str,
        reason: str = "",
        to: int | None = None,
        expected: str | None = None,
    ) -> Alias:
        """Move ``alias`` back, to the version before or to ``to``; NotFound, Refused, Conflict as in ``promote``."""

    def list(self, name: str | None = None) -> Sequence[Alias]:
        """Where the aliases of one adapter, or of all, point now."""

    def history(self, name: str, alias: str | None = None) -> Sequence[Move]:
        """Every move, oldest first."""


class Profiles(Protocol):
    """Every set-up that ever served."""

    def add(self, profile: ServingProfile) -> None:
        """Say that this profile serves its base from now on."""

    def serving(self, base_fingerprint: str) -> ServingProfile | None:
        """The profile that serves a base, or served it last."""


class Replicas(Protocol):
    """What servers say of themselves."""

    def put(self, status: ReplicaStatus) -> None:
        """Say what a server does now."""

    def beat(self, id: str) -> bool:  # noqa: A002 - it is the replica's id
        """Say that a server lives; False where its row is gone and has to be put again."""

    def remove(self, id: str) -> None:  # noqa: A002 - it is the replica's id
        """A server has stopped."""

    def list(self, base_fingerprint: str | None = None) -> Sequence[ReplicaStatus]:
        """Servers of one base, or all, oldest first."""


class Reports(Protocol):
    """What evals found."""

    def add(self, report: EvalReport) -> None:
        """Keep a report."""

    def list(self, version_digest: str) -> Sequence[EvalReport]:
        """The reports of a version, oldest first."""

    def on(self, suite_digest: str, profile_fingerprint: str) -> Sequence[EvalReport]:
        """The reports of any version on one suite and profile, newest first."""


class Artifacts(Protocol):
    """Exported forms, children of versions."""

    def add(self, artifact: Artifact, folder: Path, on_bytes: OnBytes = None) -> Artifact:
        """Store the files of ``folder``; one of the same form and quant is replaced."""

    def list(self, version_digest: str) -> Sequence[Artifact]:
        """The artifacts of a version, by form and quant."""

    def find(self, version_digest: str, form: str, quant: str) -> Artifact | None:
        """One artifact, or None."""

    def pull(self, artifact: Artifact, target: Path, on_bytes: OnBytes = None) -> None:
        """Copy the files into the new folder ``target``, verified and whole, or not at all; Conflict, Corrupted."""


class Signatures(Protocol):
    """Who signed versions."""

    def add(self, signature: Signature, *, actor: str) -> Signature:
        """Keep a signature that is proved before; NotFound, Refused. The same key's again changes nothing."""

    def list(self, version_digest: str) -> Sequence[Signature]:
        """The signatures of a version, oldest first."""


class SigningPolicies(Protocol):
    """Which names need whose signature, at push and at promote."""

    def add(self, pattern: str, public_key: str, *, actor: str) -> SigningPolicy:
        """Ask for a signature by this key; several keys of one pattern are alternatives; InvalidInput."""

    def list(self) -> Sequence[SigningPolicy]:
        """Every policy, by pattern."""

    def remove(self, pattern: str, key: str = "", *, actor: str) -> int:
        """Take away a pattern's policies, or the one whose key's id begins so; how many there were; NotFound."""


class Events(Protocol):
    """The outbox."""

    def after(
        self,
        id: int,  # noqa: A002 - it is the event's id
        limit: int = 500,
        *,
        kinds: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> Sequence[Event]:
        """The events that followed the one with this id, oldest first; of some kinds and subjects (``*``) only."""

    def last_id(self, *, fresh: bool = False) -> int:
        """Id of the newest event, 0 where there is none; cheap, and no older than this call where ``fresh``."""

    def follow(self, after: int, *, kinds: Sequence[str] = (), names: Sequence[str] = ()) -> Iterator[Event]:
        """Every event that follows, as it happens, until the caller stops."""


class Webhooks(Protocol):
    """Who is told of events."""

    def add(self, url: str, *, actor: str, kinds: Sequence[str] = (), names: Sequence[str] = ()) -> NewWebhook:
        """Post events to ``url`` from now on; InvalidInput."""

    def list(self) -> Sequence[Webhook]:
        """Every webhook, oldest first."""

    def remove(self, id: str, *, actor: str) -> None:  # noqa: A002 - it is the webhook's id
        """Tell it nothing any more; NotFound."""

    def dead(self, webhook: str | None = None) -> Sequence[Delivery]:
        """The newest deliveries that were given up, oldest first."""

    def redeliver(self, ids: Sequence[str], *, actor: str) -> int:
        """Try given-up deliveries again, all where no id is given, and say how many; NotFound."""


class Audit(Protocol):
    """Who did what."""

    def list(
        self,
        subject: str | None = None,
        *,
        actor: str | None = None,
        since: datetime | None = None,
        limit: int = 200,
    ) -> Sequence[AuditEntry]:
        """The newest entries, oldest first."""


class Keys(Protocol):
    """Who may ask."""

    def create(
        self,
        name: str,
        *,
        actor: str,
        scopes: Sequence[str] = ("infer",),
        adapters: Sequence[str] = (),
        limits: Limits | None = None,
        weight: float = 1.0,
        lifetime: timedelta | None = None,
    ) -> NewKey:
        """Make a key; InvalidInput, Conflict."""

    def list(self) -> Sequence[ApiKey]:
        """Every key, oldest first, those that no longer work too."""

    def find(self, id_or_name: str) -> Sequence[ApiKey]:
        """The key with this id, or else all that ever had this name; NotFound."""

    def revoke(self, id_or_name: str) -> Sequence[ApiKey]:
        """Stop a key for good; NotFound, Conflict."""


class UsageBook(Protocol):
    """Accounts that only grow."""

    def add(self, amounts: Sequence[Usage], last_used: Mapping[str, datetime], batch: str = "") -> None:
        """Add amounts, and when keys were used last, all or nothing, and once for each id of a batch."""

    def list(
        self, *, keys: Collection[str] | None = None, adapter: str | None = None, since: date | None = None
    ) -> Sequence[Usage]:
        """What was used, by day, key, adapter and number."""


class Verification(Protocol):
    """Proof that everything is as it was kept."""

    def blobs(self) -> dict[str, FileEntry]:
        """Every blob that a version or an artifact names, by digest."""

    def run(self, on_bytes: OnBytes = None) -> Sequence[str]:
        """What is wrong, a line each; empty means that all is well."""
