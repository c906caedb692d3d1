"""The server: engine, gateway and registry put together, run until it is told to stop."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from registry.base_model import BaseModel
from registry.profile import ServingProfile
from registry.store import Registry
from serve.adapters.disk_cache import DiskCache
from serve.adapters.probe import Probe
from serve.adapters.residency import Residency
from serve.announcement import Announcement
from serve.catalogue import Catalogue
from serve.engine.client import Engine
from serve.engine.supervisor import Supervisor
from serve.engine.vllm_process import EngineOptions
from serve.gateway.access import Access
from serve.gateway.app import build
from serve.pins import Pins
from serve.replica import Replica
from serve.turns.scheduler import Scheduler
from serve.watching.access_log import AccessLog
from serve.watching.metrics import Metrics
from serve.watching.tracing import tracing

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What a server is made of.

    Attributes:
        base: what is served.
        profile: how it is served.
        engine: how the engine is started.
        cache: folder for pulled adapters, this server's alone.
        disk_cache: most bytes in it.
        pins: references to adapters that stay loaded.
        logs: folder for the engine's output and the access log.
        capacity: most requests that wait and run at once.
        keys_required: whether requests need an API key of the registry.
        environment: for the engine.
    """

    base: BaseModel
    profile: ServingProfile
    engine: EngineOptions
    cache: Path
    disk_cache: int
    pins: tuple[str, ...]
    logs: Path
    capacity: int
    keys_required: bool
    environment: Mapping[str, str]


class Server(uvicorn.Server):
    """Uvicorn without its signal handlers: signals are ``run``'s, which has an engine to stop as well."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def build_replica(options: ServerOptions, registry: Registry) -> Replica:
    """Put the parts together; nothing runs yet."""
    catalogue = Catalogue(registry, options.base)
    probe = Probe(options.base.name)
    disk = DiskCache(options.cache, options.disk_cache, registry.versions.pull)
    residency = Residency[Engine](disk=disk, limit=options.engine.host_adapters, probe=probe.check)
    scheduler = Scheduler(
        slots=options.engine.slots,
        sequences=options.engine.max_sequences + max(1, options.engine.max_sequences // 8),  # one ends, one is there
        capacity=options.capacity,
        base_alone=options.engine.device == "cpu",
    )
    return Replica(
        profile=options.profile,
        catalogue=catalogue,
        residency=residency,
        scheduler=scheduler,
        supervisor=Supervisor(options.engine, logs=options.logs, environment=options.environment),
        probe=probe,
        metrics=Metrics(),
        access=AccessLog(options.logs),
        tracing=tracing(options.environment),
        max_lora_rank=options.engine.max_lora_rank,
    )


async def run(
    options: ServerOptions,
    registry: Registry,
    listener: socket.socket,
    on_start: Callable[[Replica, asyncio.Event], Coroutine[Any, Any, None]],
) -> None:
    """Serve on ``listener`` until SIGINT or SIGTERM; nothing of the engine is left afterwards.

    Args:
        options: what to serve.
        registry: where adapters come from.
        listener: a bound socket.
        on_start: shows the start-up; given the replica and an event for "the engine is ready".

    Raises:
        EngineFailed: the engine did not start.
    """
    replica = build_replica(options, registry)
    access = Access.to(registry, keys_required=options.keys_required)
    accounting = asyncio.create_task(access.accounting.run())
    config = uvicorn.Config(
        build(replica, access),
        http="httptools",
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    server = Server(config)
    _stop_on_signals(server)
    replica.catalogue.merge(await asyncio.to_thread(replica.catalogue.read))
    pins = Pins(options.pins, replica.catalogue, replica.residency, replica.prepare)
    announcement = Announcement(
        registry.replicas,
        replica.catalogue,
        replica.swaps,
        url=url_of(listener),
        profile=replica.profile.fingerprint,
    )
    ready = asyncio.Event()
    engine = asyncio.create_task(replica.supervisor.run(ready))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    background = [
        asyncio.create_task(replica.catalogue.follow()),
        asyncio.create_task(access.follow()),
        asyncio.create_task(_announce(replica, registry, ready)),
        asyncio.create_task(on_start(replica, ready)),
        asyncio.create_task(replica.prefetch.run()),
        asyncio.create_task(_once(ready, pins.run)),
        asyncio.create_task(_once(ready, announcement.run)),
    ]
    try:
        await asyncio.wait({engine, serving}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server.should_exit = True
        for task in background:
            task.cancel()
        await asyncio.wait({serving})
        if not engine.done():
            engine.cancel()
        await asyncio.gather(engine, *background, return_exceptions=True)
        access.accounting.close()
        await asyncio.gather(accounting, return_exceptions=True)  # writes what is left
        replica.access.close()
        await asyncio.to_thread(replica.tracing.close)
    if not engine.cancelled() and (error := engine.exception()):
        raise error


def url_of(listener: socket.socket) -> str:
    """Where a bound socket answers."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


async def _once(ready: asyncio.Event, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    await ready.wait()
    await run()


async def _announce(replica: Replica, registry: Registry, ready: asyncio.Event) -> None:
    """Tell the registry what serves, and after each restart of the engine load what it had."""
    await ready.wait()
    try:
        await asyncio.to_thread(registry.profiles.add, replica.profile)
    except Exception as error:  # noqa: BLE001 - whatever a registry does, the server serves what it has
        log.warning("The registry does not know what serves: %s", error)
    restarts = replica.supervisor.restarts
    while True:
        await asyncio.sleep(0.5)
        if replica.supervisor.ready and replica.supervisor.restarts != restarts:
            restarts = replica.supervisor.restarts
            await replica.reload()


def _stop_on_signals(server: uvicorn.Server) -> None:
    """The first signal lets running requests end, for DRAIN_SECONDS at most; the second does not wait."""

    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)
