"""The disk cache: what it keeps, what it removes, and what a killed process or a full disk leaves."""

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.errors import Unavailable
from registry.store import Registry
from registry.version import AdapterVersion
from serve.adapters.cache_folder import claim
from serve.adapters.disk_cache import PULLS, DiskCache
from tests.unit.serve.conftest import Push

VERSIONS = 6


@pytest.fixture
def versions(push: Push) -> Sequence[AdapterVersion]:
    return [push("demo") for _ in range(VERSIONS)]


def folder_size(registry: Registry, version: AdapterVersion, tmp_path: Path) -> int:
    """What one of these adapters takes; they are all alike."""
    cache = DiskCache(tmp_path / "measured", 1 << 30, registry.versions.pull)

    async def run() -> None:
        async with cache.lease(version):
            pass

    asyncio.run(run())
    return cache.size


def on_disk(folder: Path) -> set[str]:
    return {f"sha256:{entry.name}" for entry in folder.iterdir()}


ACTIONS = st.lists(st.tuples(st.sampled_from(["lease", "release", "copy"]), st.integers(0, VERSIONS - 1)), max_size=25)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(ACTIONS, st.integers(0, 4), st.sets(st.integers(0, VERSIONS - 1), max_size=2))
def test_never_over_the_limit_but_for_what_is_needed_and_never_without_it(
    registry: Registry,
    versions: Sequence[AdapterVersion],
    tmp_path: Path,
    actions: Sequence[tuple[str, int]],
    places: int,
    needed: set[int],
) -> None:
    one = folder_size(registry, versions[0], tmp_path)
    folder = tmp_path / "cache"
    cache = DiskCache(folder, places * one, registry.versions.pull)
    cache.needs.append(lambda digest: digest in {versions[number].digest for number in needed})
    leases: list[tuple[int, contextlib.AsyncExitStack]] = []

    def check() -> None:
        held = {versions[number].digest for number, _ in leases}
        assert on_disk(folder) >= held
        assert len(on_disk(folder)) * one == cache.size
        assert cache.size <= cache.limit or all(digest in held or cache.needs[0](digest) for digest in on_disk(folder))

    async def run() -> None:
        for action, number in actions:
            if action == "lease":
                stack = contextlib.AsyncExitStack()
                await stack.enter_async_context(cache.lease(versions[number]))
                leases.append((number, stack))
            elif action == "copy":
                async with cache.copy(versions[number]) as copy:
                    assert (copy / "adapter_model.safetensors").is_file()
            elif leases:
                _, stack = leases.pop(number % len(leases))
                await stack.aclose()
            check()
        while leases:
            await leases.pop()[1].aclose()
            check()

    asyncio.run(run())


def test_the_least_recently_used_goes_first_also_after_a_restart(
    registry: Registry, versions: Sequence[AdapterVersion], tmp_path: Path
) -> None:
    one = folder_size(registry, versions[0], tmp_path)
    a, b, c, d, *_ = versions

    async def run(limit: int, *used: AdapterVersion) -> None:
        cache = DiskCache(tmp_path / "cache", limit, registry.versions.pull)
        for version in used:
            async with cache.lease(version):
                pass

    asyncio.run(run(3 * one, a, b, c, a))
    asyncio.run(run(3 * one, d))
    assert on_disk(tmp_path / "cache") == {c.digest, a.digest, d.digest}
    asyncio.run(run(one))
    assert on_disk(tmp_path / "cache") == {d.digest}


def test_simultaneous_leases_cause_one_pull(
    registry: Registry, versions: Sequence[AdapterVersion], tmp_path: Path
) -> None:
    pulls = 0

    def pull(version: AdapterVersion, folder: Path) -> None:
        nonlocal pulls
        pulls += 1
        registry.versions.pull(version, folder)

    cache = DiskCache(tmp_path / "cache", 1 << 30, pull)

    async def one() -> None:
        async with cache.lease(versions[0]):
            pass

    async def run() -> None:
        await asyncio.gather(*(one() for _ in range(50)))

    asyncio.run(run())
    assert pulls == 1


def test_pulls_that_hang_delay_nothing_else(
    registry: Registry, versions: Sequence[AdapterVersion], tmp_path: Path
) -> None:
    on_disk_already, *cold = versions
    go_on = threading.Event()
    at_once = most = 0

    def pull(version: AdapterVersion, folder: Path) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        assert version == on_disk_already or go_on.wait(30)
        registry.versions.pull(version, folder)
        at_once -= 1

    cache = DiskCache(tmp_path / "cache", 1 << 30, pull)

    async def one(version: AdapterVersion) -> None:
        async with cache.copy(version):
            pass

    async def story() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))  # one pull would have it to itself
        await one(on_disk_already)
        tasks = [asyncio.create_task(one(version)) for version in cold]
        try:
            while at_once < PULLS:
                await asyncio.sleep(0.01)
            async with asyncio.timeout(30):
                await one(on_disk_already)
            assert not any(task.done() for task in tasks)
        finally:
            go_on.set()
        await asyncio.gather(*tasks)

    asyncio.run(story())
    assert most == PULLS < len(cold)
    assert on_disk(tmp_path / "cache") == {version.digest for version in versions}


HANGING_PULL = """
import asyncio, sys, time
from pathlib import Path
from registry.embedded.registry import EmbeddedRegistry
from serve.adapters.disk_cache import DiskCache

async def main():
    cache = DiskCache(Path(sys.argv[2]), 1 << 30, lambda version, folder: time.sleep(600))
    async with asyncio.timeout(0.01), cache.lease(EmbeddedRegistry(Path(sys.argv[1])).versions.get("demo:1")):
        pass

asyncio.run(main())
"""


@pytest.mark.usefixtures("versions")
def test_a_process_ends_although_a_pull_hangs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HANGING_PULL, str(tmp_path / "registry"), str(tmp_path / "cache")]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert ended.stderr.endswith("TimeoutError\n")


class FullDisk:
    """A disk that has room for so many folders besides what is being removed."""

    def __init__(self, registry: Registry, root: Path, places: int) -> None:
        self.registry = registry
        self.root = root
        self.places = places

    def pull(self, version: AdapterVersion, folder: Path) -> None:
        if len(list(self.root.iterdir())) >= self.places:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.registry.versions.pull(version, folder)


def test_a_full_disk_costs_what_is_idle_and_then_the_one_request(
    registry: Registry, versions: Sequence[AdapterVersion], tmp_path: Path
) -> None:
    a, b, c, d, *_ = versions
    cache = DiskCache(tmp_path / "cache", 1 << 30, FullDisk(registry, tmp_path / "cache", 2).pull)

    async def run() -> None:
        async with cache.lease(a):
            async with cache.lease(b):
                with pytest.raises(Unavailable, match=r"demo:3 cannot be loaded: the disk .* is full"):
                    async with cache.lease(c):
                        pass
                assert on_disk(tmp_path / "cache") == {a.digest, b.digest}
            async with cache.lease(d):  # b is idle now
                assert on_disk(tmp_path / "cache") == {a.digest, d.digest}

    asyncio.run(run())


KILLED_PULL = """
import asyncio, sys, time
from pathlib import Path
from registry.embedded.blobs import folder_made_whole
from registry.embedded.registry import EmbeddedRegistry
from registry.store import Registry
from serve.adapters.cache_folder import claim
from serve.adapters.disk_cache import DiskCache

registry = EmbeddedRegistry(Path(sys.argv[1]))
version = registry.versions.get("demo:1")

def pull(version, folder):
    if version.number == 2:
        return registry.versions.pull(version, folder)
    with folder_made_whole(folder) as half:
        (half / "adapter_config.json").write_text("{")
        print("half", flush=True)
        time.sleep(600)

async def main():
    with claim(Path(sys.argv[2])) as folder:
        cache = DiskCache(folder, 1 << 30, pull)
        async with cache.copy(registry.versions.get("demo:2")), cache.lease(version):
            pass

asyncio.run(main())
"""


def test_a_pull_that_is_killed_leaves_nothing_after_the_next_start(
    registry: Registry, versions: Sequence[AdapterVersion], tmp_path: Path
) -> None:
    root = tmp_path / "cache"
    command = [sys.executable, "-c", KILLED_PULL, str(tmp_path / "registry"), str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    with claim(root) as folder:
        assert folder.name == "0"
        assert len(on_disk(folder)) == 3  # a whole one, its private copy, and the half
        cache = DiskCache(folder, 1 << 30, registry.versions.pull)
        assert on_disk(folder) == {versions[1].digest}
        assert versions[0].digest not in cache


def test_servers_of_one_machine_share_no_folder_and_leave_none(tmp_path: Path) -> None:
    with claim(tmp_path / "cache") as one:
        with claim(tmp_path / "cache") as two:
            assert one != two
            (two / "file").touch()
        (one / "file").touch()
    with claim(tmp_path / "cache") as again:
        assert again == one
        assert (again / "file").exists()
        assert not two.exists()
