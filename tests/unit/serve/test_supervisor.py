"""The supervisor, with engines that are no engines."""

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

import aiohttp
import pytest

from serve.engine.client import Engine
from serve.engine.share import Share
from serve.engine.supervisor import Started, Supervisor
from serve.engine.vllm_process import EngineOptions
from serve.errors import EngineFailed


class Sleeper(EngineOptions):
    """Only lives."""

    def command(self, share: Share, socket: Path) -> list[str]:  # noqa: ARG002 - the protocol's
        return ["sleep", "60"]

    def environment(self, share: Share, runtime: Path, inherited: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002
        return dict(inherited)


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    async def healthy(_self: Supervisor, _engine: Engine, _started: Started) -> None:
        """At once."""

    monkeypatch.setattr(Supervisor, "_wait_healthy", healthy)
    monkeypatch.setattr("serve.engine.supervisor.BACKOFF_FIRST", 0.0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = Sleeper(
        model=tmp_path, name="tiny", device="cpu", slots=1, host_adapters=2, max_lora_rank=16, lora_modules=(),
        context_length=64, max_sequences=4, kv_cache_gib=1,
    )  # fmt: skip
    return Supervisor(program, number=0, share=Share(), logs=tmp_path / "logs", environment={})


@pytest.mark.parametrize(
    "error",
    [OSError("no space left"), aiohttp.ClientPayloadError("cut"), TimeoutError(), ValueError("x"), KeyError("x")],
)
def test_an_engine_that_answers_nonsense_has_failed_to_start(
    supervisor: Supervisor, tmp_path: Path, error: Exception
) -> None:
    async def nonsense(_engine: Engine) -> None:
        raise error

    supervisor.on_ready = nonsense
    with pytest.raises(EngineFailed, match=type(error).__name__):
        asyncio.run(supervisor.run(asyncio.Event()))
    assert [file.name for file in tmp_path.iterdir()] == ["logs"]


def test_a_start_that_fails_later_is_tried_again(supervisor: Supervisor, tmp_path: Path) -> None:
    (tmp_path / "logs").write_bytes(b"no folder")

    async def story() -> None:
        ready = asyncio.Event()
        ready.set()
        running = asyncio.create_task(supervisor.run(ready))
        async with asyncio.timeout(30):
            while supervisor.restarts < 3:
                assert not running.done()
                await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait({running})

    asyncio.run(story())
    assert [file.name for file in tmp_path.iterdir()] == ["logs"]
