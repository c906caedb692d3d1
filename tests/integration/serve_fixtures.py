"""A prepared base, a registry and a real server, started once for a whole test session."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
from openai import OpenAI

from registry.base_model import BaseModel
from registry.bases import LocalBases
from registry.settings import Settings
from registry.store import Registry
from registry.version import AdapterVersion
from tests.integration.shell import Shell, environment

if TYPE_CHECKING:
    from bench.adapters import Parrots  # it brings torch: tests without an engine do without

BASE = "smollm2-135m"
YES, NO = " yes", " no"
START_SECONDS = 400


def wait_for(condition: Callable[[], Any], seconds: float = START_SECONDS) -> None:
    """Wait until the condition holds, for longer than it can take."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail("waited in vain")
        time.sleep(0.1)


@dataclass
class Workshop:
    """A home with a base, a registry, and adapters that each say one word."""

    settings: Settings
    base: BaseModel
    registry: Registry
    parrots: "Parrots"
    work: Path
    made: int = 0

    def push(self, name: str, word: str | None) -> AdapterVersion:
        """Push an adapter that says a word, or, with None, one that changes nothing."""
        self.made += 1
        folder = self.work / f"adapter-{self.made}"
        from bench.adapters import silent_adapter

        silent_adapter(folder, self.base) if word is None else self.parrots.write(folder, word)
        (folder / "README.md").write_text(f"Adapter {self.made} of this session.")  # so that no two are the same
        return self.registry.versions.push(folder, name, actor="test", base=self.base).version

    def promote(self, version: AdapterVersion, alias: str) -> None:
        """Move an alias."""
        self.registry.aliases.promote(str(version), alias, actor="test", reason="test", force=True)


@dataclass
class Server:
    """``adaptory serve`` as a process, with its arguments, so that it can be started again."""

    settings: Settings
    port: int
    arguments: tuple[str, ...] = ()
    further: dict[str, str] = field(default_factory=dict)
    client: OpenAI = field(init=False)
    process: subprocess.Popen[str] | None = None
    family: list[psutil.Process] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10).status_code == 200
        except httpx.HTTPError:
            return False

    def start(self) -> None:
        """Start it and wait until it is ready."""
        command = ("adaptory", "serve", "--base", BASE, "--port", str(self.port), "--slots", "2", "--context", "512",
                   *self.arguments)  # fmt: skip
        home = self.settings.home
        output = home / "serve.out"
        with output.open("a") as stream:
            self.process = Shell(home, home, self.further).start(*command, stdout=stream, stderr=stream)
        wait_for(lambda: self.ready or self.ended)
        assert not self.ended, output.read_text()
        self.client = OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=300)
        self.family = psutil.Process(self.process.pid).children(recursive=True)
        assert any("vllm" in " ".join(process.cmdline()) for process in self.family)

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def stop(self, number: signal.Signals) -> int:
        """Send a signal, wait for the end, and for that of every process below."""
        assert self.process
        self.client.close()
        if self.process.poll() is None:
            self.family = psutil.Process(self.process.pid).children(recursive=True)
            self.process.send_signal(number)
        status = self.process.wait(60)
        _, left = psutil.wait_procs(self.family, timeout=60)
        assert not left
        return status

    def engine_core(self) -> psutil.Process:
        """The process in which vLLM computes."""
        assert self.process
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if "EngineCore" in "".join(child.cmdline()):
                    return child
        raise AssertionError("no engine")

    def ask_engine(self, path: str) -> str:
        """Ask the engine itself, behind the gateway's back."""
        assert self.process
        commands = [" ".join(child.cmdline()) for child in psutil.Process(self.process.pid).children(recursive=True)]
        (socket_path,) = {found[1] for command in commands if (found := re.search(r"--uds (\S+)", command))}
        with httpx.Client(transport=httpx.HTTPTransport(uds=socket_path)) as client:
            return client.get(f"http://engine{path}").text

    def engine_requests(self) -> float:
        """How many requests for answers have reached the engine so far."""
        lines = self.ask_engine("/metrics").splitlines()
        return sum(float(line.split()[-1]) for line in lines if re.match(r"http_requests_total\{.*(chat|compl)", line))

    def engine_running(self) -> float:
        """How many requests compute now."""
        lines = self.ask_engine("/metrics").splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:num_requests_running{"))

    def models(self) -> dict[str, dict[str, Any]]:
        """What /v1/models lists, by id."""
        listed = json.loads(httpx.get(f"{self.url}/v1/models").text)["data"]
        return {entry["id"]: entry for entry in listed}


def free_port() -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def workshop(new_home: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    settings = Settings.from_environment(environment(new_home("serve")))
    bases = LocalBases(settings.bases)
    base = bases.get(BASE)
    registry = Registry.open(settings)
    from bench.adapters import parrots

    yield Workshop(settings, base, registry, parrots(bases.bf16(base), YES, NO),
                   tmp_path_factory.mktemp("adapters"))  # fmt: skip
    registry.close()


@pytest.fixture(scope="session")
def server(workshop: Workshop) -> Iterator[Server]:
    started = Server(workshop.settings, free_port())
    started.start()
    yield started
    assert started.stop(signal.SIGINT) == 0  # and no process of the engine is left
