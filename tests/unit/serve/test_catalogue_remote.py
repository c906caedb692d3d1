"""The catalogue over a registry behind a server: nothing that is there is missed, also after the server was away."""

import asyncio
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

import serve.catalogue
from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import NotFound
from registry.remote.registry import RemoteRegistry
from registry.store import Registry
from tests.integration.registry.test_events import serving
from tests.unit.serve.conftest import Push
from tests.unit.serve.test_catalogue import current, followed


def test_names_are_found_through_a_server_that_restarts(
    registry: Registry, base: BaseModel, push: Push, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve.catalogue, "LOOK_SECONDS", 60.0)  # however busy this machine is
    assert isinstance(registry, EmbeddedRegistry)
    first = push("demo")
    with ExitStack() as server, ExitStack() as again:
        port = server.enter_context(serving(registry, tmp_path))
        remote = again.enter_context(closing(RemoteRegistry(f"http://127.0.0.1:{port}")))
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
            while catalogue.stale:
                await asyncio.sleep(0.01)
            assert (await catalogue.resolve(str(last))).version == last

        followed(catalogue, story)
