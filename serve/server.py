"""The server: engines, gateway and registry put together, run until it is told to stop."""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn

from registry.base_model import BaseModel
from registry.http_connection import KEEP_ALIVE_SECONDS, HttpConnection
from registry.profile import ServingProfile
from registry.store import Registry
from serve.adapters.disk_cache import DiskCache
from serve.adapters.probe import Probe
from serve.adapters.residency import Residency
from serve.announcement import Announcement
from serve.catalogue import Catalogue
from serve.engine.client import Engine
from serve.engine.program import Program
from serve.engine.share import Share
from serve.engine.supervisor import Supervisor
from serve.fleet import Fleet
from serve.gateway.access import Access
from serve.gateway.app import build
from serve.gguf import Ggufs
from serve.own_thread import in_own_thread
from serve.pins import Pins
from serve.place import Place
from serve.replica import Replica
from serve.turns.scheduler import Scheduler
from serve.watching.access_log import AccessLog
from serve.watching.metrics import Metrics
from serve.watching.tracing import tracing

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10
USAGE_SECONDS = 10
"""For the registry to take the last usage; one that hangs must not keep the server from ending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What a server is made of.

    Attributes:
        base: what is served.
        profile: how it is served.
        engine: how an engine is started.
        shares: what each engine has of the machine; as many engines as there are shares.
        cache: folder for pulled adapters, this server's alone.
        disk_cache: most bytes in it.
        pins: references to adapters that stay loaded.
        logs: folder for the engine's output and the access log.
        capacity: most requests that wait and run in one engine.
        quant: of the GGUFs that are served, or None for adapters over the base.
        keys_required: whether requests need an API key of the registry.
        environment: for the engine.
    """

    base: BaseModel
    profile: ServingProfile
    engine: Program
    shares: tuple[Share, ...]
    cache: Path
    disk_cache: int
    pins: tuple[str, ...]
    logs: Path
    capacity: int
    keys_required: bool
    quant: str | None = None
    environment: Mapping[str, str]


class Server(uvicorn.Server):
    """Uvicorn without its signal handlers: signals are ``run``'s, which has engines to stop as well."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def build_replica(options: ServerOptions, registry: Registry) -> Replica:
    """Put the parts together; nothing runs yet."""
    if options.quant:
        ggufs = Ggufs(registry, options.quant)
        disk = DiskCache(options.cache, options.disk_cache, ggufs.pull, ggufs.files)
    else:
        disk = DiskCache(options.cache, options.disk_cache, registry.versions.pull)
    return Replica(
        profile=options.profile,
        catalogue=Catalogue(registry, options.base),
        fleet=Fleet([_place(options, number, share, disk) for number, share in enumerate(options.shares)]),
        disk=disk,
        releases=registry.releases,
        metrics=Metrics(),
        access=AccessLog(options.logs),
        tracing=tracing(options.environment),
        max_lora_rank=options.engine.max_lora_rank,
        serves_base=options.engine.serves_base,
    )


def _place(options: ServerOptions, number: int, share: Share, disk: DiskCache) -> Place:
    engine, probe = options.engine, Probe(options.base.name if options.engine.serves_base else None)
    return Place(
        base=options.base.name,
        supervisor=Supervisor(engine, number=number, share=share, logs=options.logs, environment=options.environment),
        scheduler=Scheduler(
            slots=engine.slots,
            sequences=engine.max_sequences + max(1, engine.max_sequences // 8),  # one ends, one is there
            capacity=options.capacity,
            base_alone=engine.base_alone,
        ),
        residency=Residency[Engine](disk=disk, limit=engine.host_adapters, probe=probe.check),
        probe=probe,
    )


def _take_descriptors() -> None:
    """As many file descriptors as may be: each client takes one or two, and 1,024 is a usual limit."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def run(
    options: ServerOptions,
    registry: Registry,
    listener: socket.socket,
    on_start: Callable[[Replica, asyncio.Event], Coroutine[Any, Any, None]],
) -> None:
    """Serve on ``listener`` until SIGINT or SIGTERM; nothing of the engines is left afterwards.

    Args:
        options: what to serve.
        registry: where adapters come from.
        listener: a bound socket.
        on_start: shows the start-up; given the replica and an event for "every engine is ready".

    Raises:
        EngineFailed: an engine did not start.
    """
    _take_descriptors()
    replica = build_replica(options, registry)
    access = Access.to(registry, keys_required=options.keys_required)
    accounting = asyncio.create_task(access.accounting.run())
    config = uvicorn.Config(
        build(replica, access),
        http=HttpConnection,
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    server = Server(config)
    _stop_on_signals(server)
    replica.catalogue.merge(await asyncio.to_thread(replica.catalogue.read))
    pins = Pins(options.pins, replica.catalogue, replica.fleet, replica.prepare)
    announcement = Announcement(
        registry.replicas,
        replica.catalogue,
        replica.swaps,
        url=url_of(listener),
        profile=replica.profile.fingerprint,
        engines=lambda: [place.ready for place in replica.fleet.places],
    )
    ready = asyncio.Event()
    engines = asyncio.create_task(replica.fleet.run(ready))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    background = [
        asyncio.create_task(replica.catalogue.follow()),
        asyncio.create_task(access.follow()),
        asyncio.create_task(_once(ready, partial(_tell_profile, replica, registry))),
        asyncio.create_task(on_start(replica, ready)),
        asyncio.create_task(replica.prefetch.run()),
        asyncio.create_task(replica.desk.run()),
        asyncio.create_task(_once(ready, pins.run)),
        asyncio.create_task(_once(ready, announcement.run)),
    ]
    try:
        await asyncio.wait({engines, serving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        for task in background:
            task.cancel()
        await asyncio.wait({serving})
        if not engines.done():
            engines.cancel()
        await asyncio.gather(engines, *background, return_exceptions=True)
        access.accounting.close()
        await asyncio.wait({accounting}, timeout=USAGE_SECONDS)  # writes what is left
        accounting.cancel()
        await asyncio.gather(accounting, return_exceptions=True)
        replica.access.close()
        await asyncio.to_thread(replica.tracing.close)
    if not engines.cancelled() and (error := engines.exception()):
        raise error


def url_of(listener: socket.socket) -> str:
    """Where a bound socket answers."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _once(ready: asyncio.Event, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await ready.wait()
    await run()


async def _tell_profile(replica: Replica, registry: Registry) -> None:
    """Tell the registry what serves; GGUFs are not what promotions are gated for."""
    if not replica.serves_base:
        return
    try:
        await in_own_thread(registry.profiles.add, replica.profile)
    except Exception as error:  # noqa: BLE001 - whatever a registry does, the server serves what it has
        log.warning("The registry does not know what serves: %s", error)


def _stop_on_signals(server: uvicorn.Server) -> None:
    """The first signal lets running requests end, for DRAIN_SECONDS at most; the second does not wait."""

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
