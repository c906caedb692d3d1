"""Reception: whatever ``registry import`` is given becomes a folder, a base and perhaps a signature."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from registry.base_model import BaseModel
from registry.bases import LocalBases
from registry.errors import InvalidInput, Refused
from registry.exchange import hub
from registry.exchange.arrival import Arrival
from registry.exchange.hub_folder import arrive, claims_of
from registry.exchange.oci import base_of, download
from registry.exchange.oci_client import Access, OciClient
from registry.exchange.oci_place import SCHEME as OCI
from registry.exchange.oci_place import OciPlace
from registry.manifest import Manifest
from registry.planned import planned
from registry.run_folder import kept_files
from registry.settings import Settings
from registry.signature import Signature, key_id

if TYPE_CHECKING:
    from registry.store import Registry

OnBytes = Callable[[int], None] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """What can be pushed.

    Attributes:
        folder: what to push.
        origin: where it came from.
        base: what it fits, or None where the registry is to find it.
        bundle: a signature that came with it, or ``""``.
    """

    folder: Path
    origin: str
    base: BaseModel | None
    bundle: str = ""

    @property
    def size(self) -> int:
        """Bytes that a push takes."""
        return sum((self.folder / file).stat().st_size for file in kept_files(self.folder))

    def signatures(self, registry: "Registry", public_key: Path | None) -> list[Signature]:
        """The signature that came with it, if its key is the one that is asked for, or one that a policy names.

        Raises:
            Refused: a key was asked for, and there is no valid signature by it.
        """
        from registry.signing.bundle import key_of, prove_bundle
        from registry.signing.keys import load_public

        wanted = load_public(public_key) if public_key else ""
        if not self.bundle or self.base is None:
            if wanted:
                raise Refused(f"{self.origin} came without a signature.", "Leave --verify out, or export it signed.")
            return []
        try:
            made_by = key_of(self.bundle)
        except InvalidInput:
            if wanted:
                raise
            return []  # signed in another way than with a key, or not at all
        known = {key_id(wanted): wanted} if wanted else {}
        known = known or {policy.key: policy.public_key for policy in registry.signing_policies.list()}
        if made_by not in known:
            if wanted:
                raise Refused(f"{self.origin} was signed with the key {made_by[:12]}, not {key_id(wanted)[:12]}.")
            return []
        manifest: Manifest = planned(self.folder, self.base)
        prove_bundle(self.bundle, manifest, known[made_by])
        return [Signature(version_digest=manifest.digest, public_key=known[made_by], bundle=self.bundle)]


def receive(
    source: str,
    folder: Path,
    registry: "Registry",
    settings: Settings,
    base_name: str | None,
    access: Access,
    on_bytes: OnBytes = None,
) -> Received:
    """Fetch what ``source`` names into the empty ``folder`` and find its base.

    Raises:
        InvalidInput: the source has none of the forms, or no adapter, or no base that is known here.
        NotFound, Refused, Unavailable, Corrupted: as the place it comes from has it.
    """
    bases = LocalBases(settings.bases)
    bundle = ""
    if source.startswith(OCI):
        with OciClient(OciPlace.parse(source), access) as client:
            found = download(client, folder, on_bytes)
        bundle = found.bundle
        if found.manifest and base_name is None:
            base = base_of(found, bases.list(), registry.bases.list())
            return Received(folder=folder, origin=found.source, base=base, bundle=bundle)
        arrival = claims_of(folder, source=found.source)
    elif source.startswith(hub.SCHEME):
        arrival = _from_hub(source, folder, on_bytes)
    else:
        arrival = arrive(Path(source), folder)
    known = arrival.base(bases, base_name)
    if known:
        arrival.write_record(known)
    return Received(folder=folder, origin=arrival.origin, base=known, bundle=bundle)


def _from_hub(source: str, folder: Path, on_bytes: OnBytes) -> Arrival:
    repo, revision = hub.parse(source)
    api = hub.client()
    if hub.is_offline():
        return hub.from_cache(repo, revision, folder)
    return hub.download(api, hub.look(api, repo, revision), folder, on_bytes)
