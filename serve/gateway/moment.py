"""The moment: what a replica is doing right now, for ``/metrics``."""

from collections import Counter
from collections.abc import Mapping

from serve.place import Place
from serve.replica import Replica
from serve.turns.slots import BASE
from serve.watching.metrics import Presence


def gauges(replica: Replica) -> Mapping[str, float]:
    """The whole server, by the metric's name without its prefix."""
    return {
        "versions_servable": len(replica.catalogue.versions()),
        "disk_cache_bytes": replica.disk.size,
        "registry_stale": float(bool(replica.catalogue.stale)),
    }


def by_engine(replica: Replica) -> Mapping[str, Mapping[str, float]]:
    """Each engine, by its number, and then as ``gauges``."""
    return {str(place.number): _engine(place) for place in replica.fleet.places}


def _engine(place: Place) -> Mapping[str, float]:
    core, supervisor = place.scheduler.core, place.supervisor
    return {
        "engine_ready": float(supervisor.ready),
        "engine_restarts": supervisor.restarts,
        "requests_inside": core.inside,
        "requests_waiting": sum(core.waiting.values()),
        "slots": core.slots,
        "slots_taken": core.slots if BASE in core.active else len(core.active),
        "adapters_waiting": len(core.waiting),
        "adapters_loaded": len(place.residency.loaded),
    }


def present(replica: Replica) -> Mapping[str, Presence]:
    """Where each adapter is that is anywhere, by ``name:number``; the base by its name. Sums over the engines."""
    places = replica.fleet.places
    memory, active, waiting = Counter[str](), Counter[str](), Counter[str]()
    for place in places:
        memory.update(place.residency.loaded)
        active.update(place.scheduler.core.active)
        waiting.update(place.scheduler.core.waiting)
    memory[BASE] = sum(place.ready for place in places)
    found = {
        str(version): Presence(memory[version.digest], active[version.digest], waiting[version.digest])
        for version in replica.catalogue.versions()
        if version.digest in memory or version.digest in active or version.digest in waiting
    }
    return {replica.catalogue.base.name: Presence(memory[BASE], active[BASE], waiting[BASE])} | found


def released(replica: Replica) -> Mapping[tuple[str, str], Mapping[str, float]]:
    """Each release that is under way: its alias and an arm -> what this server has counted."""
    found: dict[tuple[str, str], Mapping[str, float]] = {}
    for release, ready, arms in replica.desk.moment():
        alias = f"{release.name}@{release.alias}"
        found[alias, ""] = {"weight": release.plan.weight, "ready": float(ready)}
        for arm, tally in arms.items():
            found[alias, arm] = tally.counts
    return found
