"""The server under test: ``adaptory serve`` as a person starts it, and its engine behind its back."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from bench.process import answers, free_port, running

ADAPTORY = Path(sys.executable).with_name("adaptory")
SLOTS = 2
STREAMS = 32
OPTIONS = (
    *("--slots", str(SLOTS), "--host-adapters", "16", "--max-lora-rank", "8"),
    *("--context", "512", "--max-sequences", str(STREAMS)),
)
"""Two slots, to have more adapters than slots on a small machine; room in memory for eight adapters twice; the lowest
rank that vLLM's kernels pad to and that holds ours, since they cost by it."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running server.

    Attributes:
        url: of the gateway.
        process: the gateway's.
    """

    url: str
    process: psutil.Process

    @property
    def engine_socket(self) -> Path:
        """The engine's Unix socket, from its command line."""
        commands = [" ".join(child.cmdline()) for child in self.process.children(recursive=True)]
        (found,) = {match[1] for command in commands if (match := re.search(r"--uds (\S+)", command))}
        return Path(found)

    def load_in_engine(self, name: str, folder: Path) -> None:
        """Give the engine an adapter under a name of its own, as a person with vLLM alone would."""
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(self.engine_socket)), timeout=120) as client:
            body = {"lora_name": name, "lora_path": str(folder)}
            client.post("http://engine/v1/load_lora_adapter", json=body).raise_for_status()

    def total(self, metric: str) -> float:
        """The sum of a metric's series at the gateway, such as ``adaptory_evictions_total``."""
        lines = httpx.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{metric}{{"))


@contextmanager
def gateway(base: str, environment: dict[str, str], work: Path, *further: str) -> Iterator[Gateway]:
    """Start the server, with further options, wait until its engine answers, and end it after the block."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [str(ADAPTORY), "serve", "--base", base, "--port", str(port), *OPTIONS, *further]
    with running(
        command, environment=environment, output=work / f"serve-{port}.out", ready=lambda: answers(f"{url}/readyz")
    ) as process:
        yield Gateway(url, psutil.Process(process.pid))
