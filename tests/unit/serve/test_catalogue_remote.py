"""The catalogue over a registry behind a server: nothing that is there is missed, also after the server was away."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import NotFound
from registry.remote.registry import RemoteRegistry
from registry.store import Registry
from tests.integration.registry.test_events import serving
from tests.unit.serve.conftest import Push
from tests.unit.serve.test_catalogue import current, followed


def test_names_are_found_through_a_server_that_restarts(
    registry: Registry, base: BaseModel, push: Push, tmp_path: Path
) -> None:
    assert isinstance(registry, EmbeddedRegistry)
    first = push("demo")
    with ExitStack() as server, ExitStack() as again:
        port = server.enter_context(serving(registry, tmp_path))
        remote = RemoteRegistry(f"http://127.0.0.1:{port}")
        catalogue = current(remote, base)

        async def story() -> None:
            for _ in range(3):
                version = await asyncio.to_thread(push, "demo")
                assert (await catalogue.resolve(str(version))).version == version
            await asyncio.to_thread(server.close)
            last = await asyncio.to_thread(push, "demo")
            with pytest.raises(NotFound):
                await catalogue.resolve(str(last))
            assert "does not answer" in catalogue.stale
            assert catalogue.find("demo:1").version == first
            await asyncio.to_thread(again.enter_context, serving(registry, tmp_path, port))
            assert (await catalogue.resolve(str(last))).version == last
            assert not catalogue.stale

        followed(catalogue, story)
        remote.close()
