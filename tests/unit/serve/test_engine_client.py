import asyncio
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serve.engine.client import Engine


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_engine_is_not_ill_because_we_cannot_ask_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with Engine(tmp_path / "none.sock") as engine:
            assert not await engine.healthy()
            with no_descriptor_left():
                assert await engine.healthy()
            assert not await engine.healthy()

    asyncio.run(story())
