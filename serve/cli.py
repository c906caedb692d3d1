"""``adaptory serve``."""

import logging
import os

import click

from registry import console
from serve.size import size


@click.command()
@click.option("--base", "base_name", default="", help="Name of a prepared base, served by vLLM with every adapter.")
@click.option("--gguf", default="", help="An adapter, such as support@prod, answered from its GGUF by llama.cpp.")
@click.option("--quant", help="With --gguf: which one, such as q8_0.  [default: the closest to 16 bits that it has]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
@click.option("--engines", type=click.IntRange(1), help="Engines on this machine.  [default: 1]")
@click.option("--devices", help="GPUs, such as 0,1, dealt out evenly.  [default: the first ones; an engine for each]")
@click.option(
    "--slots", type=click.IntRange(1, 256), help="Adapters that compute at once.  [default: 4, GPU 8, GGUF 1]"
)
@click.option(
    "--host-adapters",
    type=click.IntRange(2),
    help="Adapters kept in memory.  [default: 4 for each slot; GGUF: slots + 1]",
)
@click.option("--max-lora-rank", type=click.IntRange(1, 512), help="Highest rank.  [default: 16, or the registry's]")
@click.option(
    "--context", type=click.IntRange(64), help="Tokens of prompt and answer.  [default: the base's, max 4096]"
)
@click.option("--max-sequences", type=click.IntRange(1), help="Requests that compute at once.  [default: 16, GPU 256]")
@click.option("--kv-cache", default=1, show_default=True, type=click.IntRange(1), help="GiB of KV cache on the CPU.")
@click.option("--queue", default=1024, show_default=True, type=click.IntRange(1), help="Most requests in an engine.")
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
    gguf: str,
    quant: str | None,
    host: str,
    port: int,
    engines: int | None,
    devices: str | None,
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

    --gguf serves what `adaptory export` has made, without vLLM and without the base's files: a version has to have a
    GGUF of that quantisation.

    With --engines N, each adapter has an engine that is its home; slots, memory, KV cache and queue are each engine's.
    """
    from registry.errors import InvalidInput
    from registry.port import listen
    from serve.setup import Asked, gguf_setup, require_packages, vllm_setup

    if bool(base_name) == bool(gguf):
        raise InvalidInput("Either a base or an adapter with a GGUF is served.", "adaptory serve --base NAME")
    settings = console.settings()
    asked = Asked(
        engines=engines,
        devices=devices,
        slots=slots,
        host_adapters=host_adapters,
        max_lora_rank=max_lora_rank,
        context=context,
        max_sequences=max_sequences,
        kv_cache=kv_cache,
        quant=quant,
        engine_args=engine_args,
    )
    if base_name:
        from registry.bases import LocalBases

        LocalBases(settings.bases).get(base_name)
    require_packages(gguf=bool(gguf))
    listener = listen(host, port)

    from registry.store import Registry
    from serve.adapters.cache_folder import claim
    from serve.gateway.access import keys_required
    from serve.pins import check_pins
    from serve.server import ServerOptions
    from serve.startup import serve_until_stopped

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("serve").setLevel(logging.INFO)
    registry = Registry.open(settings)
    required = keys_required(keys, listener.getsockname()[0], registry)
    setup = gguf_setup(gguf, asked, registry) if gguf else vllm_setup(base_name, asked, settings, registry)
    engine = setup.engine
    cache = settings.cache / ("adapters" if setup.quant is None else f"gguf-{setup.quant}")
    with claim(cache) as folder:
        options = ServerOptions(
            base=setup.base,
            profile=setup.profile,
            engine=engine,
            shares=setup.shares,
            cache=folder,
            disk_cache=disk_cache,
            pins=check_pins((gguf, *pins) if gguf else pins, engine.slots, engine.host_adapters),
            logs=settings.home / "logs",
            capacity=queue,
            keys_required=required,
            environment=os.environ,
            quant=setup.quant,
        )
        try:
            serve_until_stopped(options, registry, listener)
        finally:
            listener.close()
            registry.close()
