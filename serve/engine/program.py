"""Program: what a supervisor has to know of the engine that it starts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from serve.engine.share import Share


class Program(Protocol):
    """vLLM or llama.cpp, with its limits."""

    @property
    def name(self) -> str:
        """The base's name, as clients say it."""

    @property
    def device(self) -> str:
        """``cpu`` or ``cuda``."""

    @property
    def slots(self) -> int:
        """Adapters that compute at once."""

    @property
    def host_adapters(self) -> int:
        """Adapters that are kept in memory, at least slots + 1."""

    @property
    def max_lora_rank(self) -> int | None:
        """Highest rank that can be served, or None where it does not matter."""

    @property
    def context_length(self) -> int:
        """Tokens of prompt and answer together."""

    @property
    def max_sequences(self) -> int:
        """Requests that compute at once."""

    @property
    def serves_base(self) -> bool:
        """Whether it answers as the base alone too."""

    @property
    def base_alone(self) -> bool:
        """Whether the base must not share it with an adapter."""

    def command(self, share: Share, socket: Path) -> list[str]:
        """The command line, listening on a Unix socket."""

    def environment(self, share: Share, runtime: Path, inherited: Mapping[str, str]) -> dict[str, str]:
        """The environment: the inherited one, and what is taken from there only."""
