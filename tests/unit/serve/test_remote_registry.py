"""The gateway's view of a registry that is behind a server."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import Refused
from registry.remote.registry import RemoteRegistry
from serve.catalogue import Catalogue
from serve.gateway.access import keys_required
from serve.gateway.keyring import Keyring
from tests.unit.registry.served import Served, served
from tests.unit.serve.conftest import Push


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("served"), keys_required=True) as running:
        yield running


@pytest.fixture
def remote(server: Served, registry: EmbeddedRegistry) -> Iterator[RemoteRegistry]:
    server.put(registry)
    opened = RemoteRegistry(server.url, registry.keys.create("gateway", actor="test", scopes=("admin",)).token)
    yield opened
    opened.close()


def test_the_catalogue_follows(registry: EmbeddedRegistry, remote: RemoteRegistry, base: BaseModel, push: Push) -> None:
    first = push("team/demo")
    catalogue = Catalogue(remote, base)
    catalogue.merge(catalogue.read())
    assert catalogue.find("team/demo:1").version == first
    second = push("team/demo")
    moved = registry.aliases.promote("team/demo:2", "canary", actor="test")
    catalogue.merge(catalogue.read())
    assert catalogue.find("team/demo@canary").digest == second.digest
    assert catalogue.aliases["team/demo", "canary"] == moved


def test_the_keyring_follows(registry: EmbeddedRegistry, remote: RemoteRegistry) -> None:
    made = registry.keys.create("ci", actor="test")
    keyring = Keyring(remote)
    found = keyring.find(made.token.encode())
    assert found == made.key
    assert keys_required(None, "127.0.0.1", remote)
    registry.keys.revoke("ci")

    async def story() -> None:
        following = asyncio.create_task(keyring.follow())
        while not (key := keyring.find(made.token.encode())) or not key.revoked:
            await asyncio.sleep(0.01)
        following.cancel()

    asyncio.run(story())


def test_files_come_for_the_disk_cache(remote: RemoteRegistry, push: Push, tmp_path: Path) -> None:
    version = push("demo")
    remote.versions.pull(version, tmp_path / "cache" / "adapter")
    for entry in version.manifest.files:
        entry.verify(tmp_path / "cache" / "adapter")


def test_a_key_that_does_not_suffice_is_said_at_the_start(server: Served, registry: EmbeddedRegistry) -> None:
    server.put(registry)
    weak = RemoteRegistry(server.url, registry.keys.create("weak", actor="test", scopes=("read",)).token)
    with pytest.raises(Refused, match="lacks the scope admin; it has read"):
        Keyring(weak)
    weak.close()
