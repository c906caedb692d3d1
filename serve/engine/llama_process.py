"""How llama.cpp is started: a process of our own around llama-cpp-python's ``Llama`` (see ``docs/decisions/0015``)."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serve.engine.share import Share


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaOptions:
    """What the engine is started with; see ``Program``.

    Attributes:
        name: of the base.
        slots: models that compute at once.
        host_adapters: models in memory at once, at least slots + 1: the one that serves and the one that comes.
        context_length: tokens of prompt and answer together.
    """

    name: str
    slots: int
    host_adapters: int
    context_length: int
    device: str = "cpu"
    max_lora_rank: None = None
    serves_base: bool = False
    base_alone: bool = False

    @property
    def max_sequences(self) -> int:
        """A model answers one request at a time."""
        return self.slots

    def command(self, share: Share, socket: Path) -> list[str]:
        """The command line, listening on a Unix socket."""
        cores = len(share.cores) or len(os.sched_getaffinity(0))
        # Half of the cores: llama.cpp's threads spin while they wait for each other, and two on one core gain little.
        numbers = [str(number) for number in (self.context_length, max(1, cores // 2))]
        # -P: a folder named serve where the person stands must not be imported instead.
        return [sys.executable, "-P", "-m", "serve.engine.llama_server", str(socket), *numbers]

    def environment(self, share: Share, runtime: Path, inherited: Mapping[str, str]) -> dict[str, str]:  # noqa: ARG002 - the protocol's
        """The inherited one."""
        environment = dict(inherited) | {"PYTHONUNBUFFERED": "1"}
        if share.devices:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(share.devices)
        return environment
