"""Routes of artifacts: exported forms, children of versions."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from registry.artifact import Artifact
from registry.server.bodies import StrictRoute
from registry.server.callers import Kept, Pusher, Reader
from registry.server.fields import Digest, FullDigest, Token
from registry.server.reports import knows
from registry.server.staging import SentFile, Uploads, name_of, staged
from registry.server.upload_folder import MOST_FILES

router = APIRouter(route_class=StrictRoute, tags=["artifacts"])


class NewArtifact(BaseModel):
    """An exported form of which every content was uploaded or is kept; the fields are those of an artifact."""

    version_digest: FullDigest
    form: Token
    quant: Token
    recipe: dict[str, Any]
    drift: dict[str, float] = {}
    files: list[SentFile] = Field(max_length=MOST_FILES)


@router.post("/artifacts")
def add(caller: Pusher, registry: Kept, uploads: Uploads, sent: NewArtifact) -> Artifact:
    """Keep an artifact; one of the same form and quantisation is replaced."""
    name = name_of(registry, caller, sent.version_digest)
    artifact = Artifact(
        version_digest=sent.version_digest,
        form=sent.form,
        quant=sent.quant,
        files=(),
        recipe=sent.recipe,
        drift=sent.drift,
    )
    with staged(registry, uploads, caller, name, sent.files) as (folder, entries):
        return registry.artifacts.keep(artifact, folder, entries)


@router.get("/artifacts")
def list_artifacts(caller: Reader, registry: Kept, version: Digest) -> Sequence[Artifact]:
    """The artifacts of a version, by form and quantisation."""
    return registry.artifacts.list(version) if knows(caller, registry, version) else []
