"""Routes of versions: push, find, list."""

from collections.abc import Sequence

from fastapi import APIRouter, Response
from pydantic import BaseModel as Body
from pydantic import Field

from registry.base_model import BaseModel
from registry.errors import InvalidAdapter
from registry.refs import AdapterRef
from registry.run_folder import KEPT, WEIGHTS, kept_files
from registry.server.bases import proved
from registry.server.bodies import StrictRoute
from registry.server.callers import Kept, Pusher, Reader
from registry.server.fields import Line, Name, Ref
from registry.server.staging import SentFile, Uploads, staged
from registry.signature import Signature
from registry.version import AdapterVersion, Push

NEEDED = ("adapter_config.json", WEIGHTS)

router = APIRouter(route_class=StrictRoute, tags=["versions"])


class NewVersion(Body):
    """A version of which every content was uploaded or is kept.

    Attributes:
        name: the adapter's name.
        note: a line for people.
        base: the base it was trained on; none where the registry knows it from an earlier push.
        files: what it consists of.
        signatures: of the manifest that this will be.
    """

    name: Name
    note: Line = ""
    base: BaseModel | None = None
    files: list[SentFile] = Field(max_length=len(KEPT))
    signatures: list[Signature] = Field(default=[], max_length=16)


@router.post("/versions")
def push(caller: Pusher, registry: Kept, uploads: Uploads, sent: NewVersion) -> Push:
    """Admit an adapter and make it the next version of its name."""
    caller.prove_may_make(sent.name)
    paths = {file.path for file in sent.files}
    if unknown := paths - set(KEPT):
        raise InvalidAdapter(f"{min(unknown)} is no part of an adapter.", f"Send some of {', '.join(KEPT)}.")
    if not paths.issuperset(NEEDED):
        raise InvalidAdapter(f"An adapter has {' and '.join(NEEDED)}; one is missing.")
    with staged(registry, uploads, caller, sent.name, sent.files) as (folder, entries):
        kept_files(folder)  # proves that each is what its name says
        return registry.versions.admit(
            folder,
            entries,
            sent.name,
            actor=caller.actor,
            base=proved(sent.base, caller, registry) if sent.base else None,
            note=sent.note,
            signatures=sent.signatures,
        )


@router.get("/versions")
def list_versions(caller: Reader, registry: Kept, name: Name | None = None) -> Sequence[AdapterVersion]:
    """Versions by name and number, of one adapter or of all that the key may name."""
    if name is not None:
        caller.prove_may_name(name)
    return [version for version in registry.versions.list(name) if caller.may_name(version.name)]


@router.get("/versions/{ref:path}")
def get(caller: Reader, registry: Kept, ref: Ref, response: Response) -> AdapterVersion:
    """The version that a reference names: ``name:3``, ``name@prod`` or ``name@sha256:<hex>``."""
    caller.prove_may_name(AdapterRef.parse(ref).name)
    version = registry.versions.get(ref)
    response.headers["etag"] = f'"{version.digest}"'
    return version
