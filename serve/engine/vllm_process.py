"""How stock vLLM is started: its command line and its environment, as values."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from serve.engine.lora_kernels import LAUNCHES
from serve.engine.lora_kernels.plugin import SWITCH as SLICED_LORA
from serve.engine.share import Share
from serve.engine.unreadable import Unreadable

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes as ``--max-lora-rank`` (0.32)."""

MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),  # the most that glibc takes
    "MALLOC_TRIM_THRESHOLD_": str(1 << 30),
    "MALLOC_TOP_PAD_": str(64 << 20),
}
"""For glibc on the CPU: LoRA there copies an adapter's matrices for each token (torch_ops.bgmv_*), and memory that is
kept instead of mapped anew for each copy saves page faults: 5 % of the CPU time with adapters, in two pairs of runs."""

ONE_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
"""On the CPU vLLM computes in a process of its own, tied to all cores but one, while the scheduler's process spins on
that one (0.32, CpuPlatform, shm_broadcast). With this and the executor ``uni`` both are one process, which computes on
every core: on two of them about twice the tokens a second with adapters (``docs/performance.md``)."""

KEEP_ALIVE = 3600
"""Seconds that vLLM keeps an idle connection: longer than ``serve.engine.client`` does. With vLLM's own 5 a request
could be sent on a connection that it was closing, and a client got 503 (seen once in 6,000 requests on a GPU)."""

SPARE_HOST_ADAPTERS = 2
"""vLLM keeps an unloaded adapter in its host tier until it needs the room: room for those that failed the probe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """What the engine is started with.

    Attributes:
        model: folder of the NF4 base.
        name: the base's name, as clients say it.
        device: ``cpu`` or ``cuda``.
        slots: adapters that compute at once (``max_loras``).
        host_adapters: adapters that are kept in memory, at least slots + 1.
        max_lora_rank: highest rank that can be served, one of ``RANKS``.
        context_length: tokens of prompt and answer together.
        lora_modules: names of the linear layers that an adapter may target, such as ``q_proj``.
        max_sequences: requests that compute at once.
        kv_cache_gib: size of the KV cache on the CPU, GiB.
        extra: further arguments, as typed by whoever runs the server.
    """

    model: Path
    name: str
    device: str
    slots: int
    host_adapters: int
    max_lora_rank: int
    lora_modules: tuple[str, ...]
    context_length: int
    max_sequences: int
    kv_cache_gib: int
    extra: tuple[str, ...] = ()

    serves_base: ClassVar[bool] = True

    @property
    def base_alone(self) -> bool:
        """Whether the base must not share the engine with an adapter (see ``docs/decisions/0005``)."""
        return self.device == "cpu"

    def command(self, share: Share, socket: Path) -> list[str]:  # noqa: ARG002 - the protocol's
        """The command line, listening on a Unix socket."""
        command = [sys.executable, "-P", "-m", "vllm.entrypoints.openai.api_server"]  # -P: no serve.py of the folder's
        command += ["--model", str(self.model), "--served-model-name", self.name, "--uds", str(socket)]
        command += ["--quantization", "bitsandbytes", "--dtype", "bfloat16"]
        command += ["--enable-lora", "--max-loras", str(self.slots)]
        command += ["--max-cpu-loras", str(self.host_adapters + SPARE_HOST_ADAPTERS)]
        command += ["--max-lora-rank", str(self.max_lora_rank)]
        # Without this vLLM wraps the vocabulary's projection too: a request for its prompt's log-probabilities that
        # shares a batch with an adapter's then ends the whole engine (0.32, punica_cpu.add_lora_logits); tokens cost
        # more too.
        command += ["--lora-target-modules", *self.lora_modules]
        command += ["--max-model-len", str(self.context_length), "--max-num-seqs", str(self.max_sequences)]
        command += [
            "--disable-uvicorn-access-log",
            "--middleware",
            f"{Unreadable.__module__}.{Unreadable.__qualname__}",
        ]
        if self.device == "cpu":
            # With LoRA, vLLM compiles nothing on the CPU (CpuPlatform.check_and_update_config): eager starts sooner.
            command += ["--enforce-eager", "--distributed-executor-backend", "uni"]
        return [*command, *self.extra]

    def environment(self, share: Share, runtime: Path, inherited: Mapping[str, str]) -> dict[str, str]:
        """The environment: the inherited one, and what vLLM takes from there only."""
        environment = dict(inherited) | {
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_HTTP_TIMEOUT_KEEP_ALIVE": str(KEEP_ALIVE),
            "ADAPTORY_RESOLVER": "",  # names are the gateway's (see resolver.py)
            "VLLM_RPC_BASE_PATH": str(runtime),  # its own sockets lie in the private folder too
            "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_OFFLINE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        if self.device == "cpu":
            environment |= {"VLLM_CPU_KVCACHE_SPACE": str(self.kv_cache_gib)} | ONE_PROCESS
            environment |= MALLOC
        else:
            environment.setdefault("VLLM_TUNED_CONFIG_FOLDER", str(LAUNCHES))
            environment.setdefault(SLICED_LORA, "1")
        if share.devices:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(share.devices)
        return environment
