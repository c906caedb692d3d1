"""The moment: what a replica is doing right now, for ``/metrics``."""

from collections.abc import Mapping

from serve.replica import Replica
from serve.turns.slots import BASE
from serve.watching.metrics import Presence


def gauges(replica: Replica) -> Mapping[str, float]:
    """The whole server, by the metric's name without its prefix."""
    scheduler, supervisor = replica.scheduler, replica.supervisor
    return {
        "engine_ready": float(supervisor.ready),
        "engine_restarts": supervisor.restarts,
        "requests_inside": scheduler.core.inside,
        "requests_waiting": sum(scheduler.core.waiting.values()),
        "slots": scheduler.core.slots,
        "slots_taken": scheduler.core.slots if BASE in scheduler.core.active else len(scheduler.core.active),
        "adapters_waiting": len(scheduler.core.waiting),
        "adapters_loaded": len(replica.residency.loaded),
        "versions_servable": len(replica.catalogue.versions()),
        "disk_cache_bytes": replica.residency.disk.size,
        "registry_stale": float(bool(replica.catalogue.stale)),
    }


def present(replica: Replica) -> Mapping[str, Presence]:
    """Where each adapter is that is anywhere, by ``name:number``; the base by its name."""
    loaded = set(replica.residency.loaded)
    active, waiting = replica.scheduler.core.active, replica.scheduler.core.waiting
    found = {
        str(version): Presence(version.digest in loaded, active.get(version.digest, 0), waiting.get(version.digest, 0))
        for version in replica.catalogue.versions()
        if version.digest in loaded or version.digest in active or version.digest in waiting
    }
    base = Presence(replica.supervisor.ready, active.get(BASE, 0), waiting.get(BASE, 0))
    return {replica.catalogue.base.name: base} | found
