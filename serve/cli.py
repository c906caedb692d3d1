"""``adaptory serve``."""

import logging
import os

import click

from registry import console
from serve.size import size


@click.command()
@click.option("--base", "base_name", required=True, help="Name of a prepared base.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
@click.option("--slots", type=click.IntRange(1, 256), help="Adapters that compute at once.  [default: 4, on a GPU 8]")
@click.option("--host-adapters", type=click.IntRange(2), help="Adapters kept in memory.  [default: 4 for each slot]")
@click.option("--max-lora-rank", type=click.IntRange(1, 512), help="Highest rank.  [default: 16, or the registry's]")
@click.option(
    "--context", type=click.IntRange(64), help="Tokens of prompt and answer.  [default: the base's, max 4096]"
)
@click.option("--max-sequences", type=click.IntRange(1), help="Requests that compute at once.  [default: 16, GPU 256]")
@click.option("--kv-cache", default=1, show_default=True, type=click.IntRange(1), help="GiB of KV cache on the CPU.")
@click.option("--queue", default=1024, show_default=True, type=click.IntRange(1), help="Most requests in the replica.")
@click.option(
    "--disk-cache", default="20GiB", show_default=True, type=size, help="Most that pulled adapters take on disk."
)
@click.option(
    "--pin", "pins", multiple=True, help="An adapter, such as support@prod, that stays loaded; may be repeated."
)
@click.option(
    "--keys",
    type=click.Choice(["required", "off"]),
    help="Whether requests need an API key.  [default: required, but on loopback only once the registry has one]",
)
@click.option("--engine-arg", "engine_args", multiple=True, help="A further argument for vLLM; may be repeated.")
@console.command
def serve(
    base_name: str,
    host: str,
    port: int,
    slots: int | None,
    host_adapters: int | None,
    max_lora_rank: int | None,
    context: int | None,
    max_sequences: int | None,
    kv_cache: int,
    queue: int,
    disk_cache: int,
    pins: tuple[str, ...],
    keys: str | None,
    engine_args: tuple[str, ...],
) -> None:
    """Serve a base and every adapter in the registry over OpenAI's API.

    \b
    adaptory serve --base smollm2-135m
    curl localhost:8000/v1/models

    Adapters are named in the request: model="support", "support@prod", "support:4"; the base answers to its own name.
    A version that is pushed while this runs can be called at once; Ctrl-C ends it and leaves nothing behind.
    """
    from registry.bases import LocalBases

    settings = console.settings()
    bases = LocalBases(settings.bases)
    base = bases.get(base_name)

    from serve.engine.profile import find_engine, serving_profile
    from serve.port import listen

    installed = find_engine()
    cpu = installed.device == "cpu"
    listener = listen(host, port)

    from registry.store import Registry
    from serve.adapters.cache_folder import claim
    from serve.engine.vllm_process import EngineOptions
    from serve.gateway.access import keys_required
    from serve.limits import fitting_rank
    from serve.pins import check_pins
    from serve.server import ServerOptions
    from serve.startup import serve_until_stopped

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("serve").setLevel(logging.INFO)
    registry = Registry.open(settings)
    required = keys_required(keys, listener.getsockname()[0], registry)
    slots = slots or (4 if cpu else 8)
    context = context or min(base.context_length, 4096)
    engine = EngineOptions(
        model=bases.nf4(base),
        name=base.name,
        device=installed.device,
        slots=slots,
        host_adapters=max(host_adapters or 4 * slots, slots + 1),
        max_lora_rank=fitting_rank(max_lora_rank, registry, base),
        lora_modules=tuple(sorted({module.rpartition(".")[2] for module in base.modules})),
        context_length=context,
        max_sequences=max_sequences or (16 if cpu else 256),
        kv_cache_gib=kv_cache,
        extra=engine_args,
    )
    with claim(settings.cache / "adapters") as cache:
        options = ServerOptions(
            base=base,
            profile=serving_profile(base, installed, context),
            engine=engine,
            cache=cache,
            disk_cache=disk_cache,
            pins=check_pins(pins, slots, engine.host_adapters),
            logs=settings.home / "logs",
            capacity=queue,
            keys_required=required,
            environment=os.environ,
        )
        try:
            serve_until_stopped(options, registry, listener)
        finally:
            listener.close()
            registry.close()
