"""What a person sees of a server: how far the start is, then how to call it."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import uvloop

from registry import console
from registry.store import Registry
from serve.replica import Replica
from serve.server import ServerOptions, run, url_of

REFRESH_SECONDS = 0.25


def serve_until_stopped(options: ServerOptions, registry: Registry, listener: socket.socket) -> None:
    """Run the server, with the start-up on the terminal.

    Raises:
        EngineFailed: the engine did not start.
    """

    async def show(replica: Replica, ready: asyncio.Event) -> None:
        began = time.monotonic()
        starting = f"Starting {options.profile.engine} with {options.base.name}"
        with _status(starting) as update:
            while not ready.is_set():
                update(f"{starting}: {replica.fleet.doing}, {time.monotonic() - began:.0f} s")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ready.wait(), REFRESH_SECONDS)
        console.say(_ready_text(options, replica, listener, time.monotonic() - began))

    uvloop.run(run(options, registry, listener, show))


def _ready_text(options: ServerOptions, replica: Replica, listener: socket.socket, seconds: float) -> str:
    url = url_of(listener)
    versions = replica.catalogue.versions()
    model = options.pins[0] if options.pins else str(versions[-1]) if versions else options.base.name
    engine, engines = options.engine, len(options.shares)
    of_them = f", in each of {engines} engines" if engines > 1 else ""
    ranks = f", ranks up to {engine.max_lora_rank}" if engine.max_lora_rank else ""
    form = f" as GGUF {options.quant}" if options.quant else ""
    return f"""\
Ready after {seconds:.0f} s: {url}/v1
  base     {engine.name}{form} on {engine.device}, {engine.slots} slots{ranks}, {engine.context_length} tokens{of_them}
  profile  {options.profile.fingerprint}
  adapters {len(versions)} in the registry
  keys     {"required" if options.keys_required else "not needed: whoever reaches this address may ask"}
  logs     {options.logs}
curl {url}/v1/chat/completions -H 'content-type: application/json' \\
  -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""


@contextlib.contextmanager
def _status(text: str) -> Iterator[Callable[[str], None]]:
    """A line that changes, on a terminal; one line that does not, elsewhere."""
    from rich.console import Console

    terminal = Console(stderr=True)
    if not terminal.is_terminal:
        console.say(f"{text} ...")
        yield lambda line: None  # noqa: ARG005 - nothing changes there
        return
    with terminal.status(text) as status:
        yield status.update
