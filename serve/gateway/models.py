"""``/v1/models``: everything that a request can name here."""

from typing import Any

from registry.refs import DEFAULT_ALIAS
from registry.version import AdapterVersion
from serve.catalogue import Target
from serve.replica import Replica


def list_models(replica: Replica) -> dict[str, Any]:
    """The base, then every alias and version for it."""
    catalogue = replica.catalogue
    base = [_entry(replica, catalogue.base.name, Target(None, catalogue.base.fingerprint))]
    entries = base if replica.serves_base else []
    for (name, alias), version in sorted(catalogue.serving.items(), key=lambda item: item[0]):
        if version.manifest.base_fingerprint == catalogue.base.fingerprint:
            written = [f"{name}@{alias}"] + ([name] if alias == DEFAULT_ALIAS else [])
            target = Target(version, version.digest)
            entries += [_entry(replica, model, target, (name, alias)) for model in written]
    for version in catalogue.versions():
        entries.append(_entry(replica, str(version), Target(version, version.digest)))
    return {"object": "list", "data": entries}


async def one_model(replica: Replica, model: str) -> dict[str, Any]:
    """A single entry, under any name that a request could use.

    Raises:
        NotFound: a request could not use it.
    """
    target = await replica.catalogue.resolve(model)
    listed = next((entry for entry in list_models(replica)["data"] if entry["id"] == model), None)
    return listed or _entry(replica, model, target)


def _entry(replica: Replica, model: str, target: Target, alias: tuple[str, str] | None = None) -> dict[str, Any]:
    base, version, fleet = replica.catalogue.base, target.version, replica.fleet
    there = fleet.holders(target.digest) if version else [place for place in fleet.places if place.ready]
    ours: dict[str, Any] = {
        "digest": target.digest,
        "version": str(version) if version else None,
        "alias": alias[1] if alias else None,
        "base": base.name,
        "loaded": bool(there),
        "engines": [place.number for place in there],
        "on_disk": target.digest in replica.disk if version else True,
        "pinned": any(target.digest in place.residency.pinned for place in fleet.places) if version else True,
    }
    if version and (reason := replica.catalogue.deprecated.get((version.name, version.number))):
        ours["deprecated"] = reason
    if alias and (failure := replica.swaps.failure(*alias)):
        ours["failure"] = failure
    if alias and (release := replica.catalogue.releases.get(alias)):
        ours["release"] = {
            "id": release.id,
            "kind": release.plan.kind,
            "candidate": f"{release.name}:{release.candidate}",
            "weight": release.plan.weight,
            "ready": release.id in replica.desk.router.ready,
        }
    return {
        "id": model,
        "object": "model",
        "created": _created(version),
        "owned_by": "adaptory",
        "parent": base.name if version else None,
        "adaptory": ours,
    }


def _created(version: AdapterVersion | None) -> int:
    """Unix seconds; 0 for the base, whose age nobody keeps."""
    return int(version.created.timestamp()) if version else 0
