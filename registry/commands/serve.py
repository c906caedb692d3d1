"""``registry serve``."""

from typing import TYPE_CHECKING

import click

from registry.console import command, say, settings
from registry.errors import InvalidInput

if TYPE_CHECKING:
    from registry.embedded.registry import EmbeddedRegistry

GIB = 1 << 30


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8100, show_default=True, type=click.IntRange(0, 65535), help="0 takes any free port.")
@click.option(
    "--keys", type=click.Choice(["required", "off"]), default="required", show_default=True, help="Who may ask."
)
@click.option(
    "--upload-limit",
    type=click.IntRange(1, 1024),
    default=64,
    show_default=True,
    help="Most GiB on their way with one key.",
)
@click.option("--no-redirects", is_flag=True, help="Send content itself, not URLs of the blob store.")
@command
def serve(host: str, port: int, keys: str, upload_limit: int, no_redirects: bool) -> None:
    """Serve this registry to other machines, for those who have a key.

    \b
    registry key create me --scope admin
    registry serve --host 0.0.0.0
    ADAPTORY_REGISTRY=http://HOST:8100 ADAPTORY_API_KEY=ak-... registry list

    It speaks plain HTTP: past one machine, put a proxy with TLS before it. Ctrl-C ends it.
    """
    from registry.embedded.registry import EmbeddedRegistry
    from registry.optional import require
    from registry.port import listen
    from registry.store import Registry

    require("server", {"fastapi": "fastapi", "uvicorn": "uvicorn"})
    options = settings()
    registry = Registry.open(options)
    if not isinstance(registry, EmbeddedRegistry):
        raise InvalidInput(
            "ADAPTORY_REGISTRY names a server; what it serves is served already.", "Unset it, or name a folder."
        )
    if keys == "required":
        _prove_a_key(registry)
    listener = listen(host, port)

    from registry.server.app import ServerOptions, build
    from registry.server.running import Server

    served = ServerOptions(
        uploads=options.home / "uploads",
        upload_limit=upload_limit * GIB,
        keys_required=keys == "required",
        redirects=not no_redirects,
    )
    address, bound = listener.getsockname()[:2]
    url = f"http://{f'[{address}]' if ':' in address else address}:{bound}"
    say(f"Serving the registry at {url}; what it can be asked is at {url}/docs")
    if keys == "off":
        say("No key is needed: whoever reaches this address may do everything.")
    try:
        Server(build(registry, served)).run(sockets=[listener])
    finally:
        listener.close()
        registry.close()


def _prove_a_key(registry: "EmbeddedRegistry") -> None:
    """Prove that somebody could get in.

    Raises:
        InvalidInput: nobody could.
    """
    from registry.times import now

    at = now()
    if not any(key.usable(at) and set(key.scopes) - {"infer"} for key in registry.keys.list()):
        raise InvalidInput(
            "The registry has no API key that this server would take.",
            "registry key create NAME --scope admin, or --keys off.",
        )
