"""The supervisor: keeps one engine running, and says so when it is not."""

import asyncio
import contextlib
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from registry.errors import AdaptoryError
from serve.engine import diagnosis, warden
from serve.engine.client import Engine
from serve.engine.program import Program
from serve.engine.share import Share
from serve.errors import EngineAway, EngineFailed

log = logging.getLogger(__name__)

START_SECONDS = 1200.0
POLL_SECONDS = 0.25
HEALTH_SECONDS = 5.0
MISSED_CHECKS = 6
BACKOFF_FIRST = 0.5
BACKOFF_LAST = 30.0
STABLE_SECONDS = 60.0
KEPT_LOGS = 10

NOT_READY = (AdaptoryError, OSError, aiohttp.ClientError, ValueError, LookupError, TypeError)
"""What comes of a full disk, of too many open files, and of an engine that goes away or answers nonsense."""


@dataclass(slots=True)
class Started:
    """An engine's process: the warden, which ends when the engine does, and where they write."""

    process: asyncio.subprocess.Process
    socket: Path
    output: Path


class Supervisor:
    """Starts the engine, restarts it when it dies, and hands out its client while it is ready.

    Attributes:
        on_ready: awaited with each new engine before clients may use it.
        on_serving: called when they may.
        on_gone: called when it has gone.
        number: which of the server's engines it is.
        restarts: how often it was started again.
    """

    def __init__(
        self, program: Program, *, number: int, share: Share, logs: Path, environment: Mapping[str, str]
    ) -> None:
        self.on_ready: Callable[[Engine], Awaitable[None]] = _nothing_to_do
        self.on_serving: Callable[[], None] = lambda: None
        self.on_gone: Callable[[], None] = lambda: None
        self._program = program
        self.number = number
        self.restarts = 0
        self._share = share
        self._logs = logs
        self._environment = environment
        self._engine: Engine | None = None
        self._started: Started | None = None

    @property
    def ready(self) -> bool:
        """Whether clients may ask the engine."""
        return self._engine is not None

    @property
    def doing(self) -> str:
        """What the engine is doing while it is not ready."""
        return diagnosis.stage(diagnosis.tail(self._started.output)) if self._started else "starting"

    def engine(self) -> Engine:
        """The running engine.

        Raises:
            EngineAway: it is starting or restarting.
        """
        if self._engine is None:
            raise EngineAway("The engine is starting or was restarted.", "Try again in a few seconds.")
        return self._engine

    async def run(self, first_ready: asyncio.Event) -> None:
        """Keep an engine running until cancelled; ``first_ready`` is set once.

        Raises:
            EngineFailed: the very first start failed.
        """
        backoff = BACKOFF_FIRST
        while True:
            began = time.monotonic()
            try:
                async with self._running() as engine:
                    first_ready.set()
                    began = time.monotonic()
                    await self._until_gone(engine)
            except EngineFailed as error:
                if not first_ready.is_set():
                    raise
                log.warning("%s", error.message)
            if time.monotonic() - began > STABLE_SECONDS:
                backoff = BACKOFF_FIRST
            self.restarts += 1
            log.warning("Starting engine %d again in %.1f s.", self.number, backoff)
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, BACKOFF_LAST)

    @contextlib.asynccontextmanager
    async def _running(self) -> AsyncIterator[Engine]:
        """A started, ready engine; stopped on the way out."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                engine = await self._make_ready(stack)
            except EngineFailed:
                raise
            except NOT_READY as error:
                reason = error.message if isinstance(error, AdaptoryError) else f"{type(error).__name__}: {error}"
                raise EngineFailed(
                    f"The engine does not start, or does not answer as it should: {reason}",
                    f"Its output: {self._started.output if self._started else self._logs}",
                ) from error
            self._engine = engine
            self.on_serving()
            try:
                yield engine
            finally:
                self._engine = None
                self.on_gone()

    async def _make_ready(self, stack: contextlib.AsyncExitStack) -> Engine:
        """Start an engine; whatever was begun is ended when the stack is left."""
        self._started = None
        runtime = Path(tempfile.mkdtemp(prefix="adaptory-"))
        stack.callback(shutil.rmtree, runtime, ignore_errors=True)
        started = self._started = await self._start(runtime)
        stack.push_async_callback(_stop, started.process)
        engine = await stack.enter_async_context(Engine(started.socket))
        await self._wait_healthy(engine, started)
        await self.on_ready(engine)
        return engine

    async def _start(self, runtime: Path) -> Started:
        self._logs.mkdir(parents=True, exist_ok=True)
        for old in sorted(self._logs.glob(f"engine-{self.number}-*.log"))[: 1 - KEPT_LOGS]:
            old.unlink(missing_ok=True)
        output = self._logs / f"engine-{self.number}-{time.strftime('%Y%m%dT%H%M%S')}-{self.restarts}.log"
        socket = runtime / "engine.sock"
        with output.open("wb") as stream:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                str(Path(warden.__file__)),
                str(runtime),
                ",".join(map(str, self._share.cores)),
                *self._program.command(self._share, socket),
                stdin=asyncio.subprocess.PIPE,
                stdout=stream,
                stderr=stream,
                env=self._program.environment(self._share, runtime, self._environment),
                start_new_session=True,  # Ctrl-C in the terminal is for the gateway alone
            )
        return Started(process, socket, output)

    async def _wait_healthy(self, engine: Engine, started: Started) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if started.process.returncode is not None:
                break
            if started.socket.exists() and await engine.healthy():
                return
            await asyncio.sleep(POLL_SECONDS)
        raise self._failure(started)

    def _failure(self, started: Started) -> EngineFailed:
        reason = diagnosis.explain(diagnosis.tail(started.output), started.process.returncode)
        return EngineFailed(f"The engine did not start. {reason}", f"Its output: {started.output}")

    async def _until_gone(self, engine: Engine) -> None:
        """Until the process ends, or has not answered for MISSED_CHECKS checks."""
        if self._started is None:
            return
        ended, missed = asyncio.create_task(self._started.process.wait()), 0  # one: uvloop keeps each that gives up
        try:
            while missed < MISSED_CHECKS:
                await asyncio.wait({ended}, timeout=HEALTH_SECONDS)
                if ended.done():
                    told = "Engine %d ended with status %s; its output: %s"
                    log.warning(told, self.number, ended.result(), self._started.output)
                    return
                missed = 0 if await engine.healthy() else missed + 1
            log.warning("Engine %d does not answer; its output: %s", self.number, self._started.output)
        finally:
            ended.cancel()


async def _nothing_to_do(engine: Engine) -> None:
    """What ``on_ready`` is until somebody sets it."""


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Close the warden's pipe and wait until nothing of the engine is left."""
    if process.stdin:
        process.stdin.close()
    await process.wait()
