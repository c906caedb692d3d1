"""What the engine's log says, in one line for a person: why it did not start, or what it is doing."""

import re
from collections import deque
from pathlib import Path

CAUSES = (
    (r"No module named 'bitsandbytes'", "bitsandbytes is not installed: pip install bitsandbytes"),
    (r"No module named 'vllm_bnb_plugin'|(?i:quantization method .*bitsandbytes)",
     "This vLLM has no bitsandbytes support: install vllm-bnb-plugin beside it"),
    (r"No module named '(?P<module>[\w.]+)'", "The engine misses the Python module {module}"),
    (r"Only one platform plugin can be activated",
     "This vLLM has a platform plugin of its own: set ADAPTORY_SLICED_LORA=0"),
    (r"CUDA out of memory|torch\.OutOfMemoryError",
     "The GPU's memory is too small: fewer --slots, a shorter --context or a lower --max-lora-rank"),
    (r"Free memory on device .* is less than desired|Available memory on node .* is less",
     "Too little memory is free: stop other programs, or give the engine less (--kv-cache, --gpu-memory-utilization)"),
    (r"No available memory for the cache blocks|KV cache is needed, which is larger than the available",
     "No room is left for the KV cache: a shorter --context or a larger --kv-cache"),
    (r"DefaultCPUAllocator: can't allocate memory|Cannot allocate memory|MemoryError|std::bad_alloc",
     "This machine's memory is too small: a smaller --kv-cache, fewer --slots or a shorter --context"),
    (r"The NVIDIA driver on your system is too old|CUDA driver version is insufficient",
     "The NVIDIA driver is older than this vLLM needs: update the driver or install a vLLM for it"),
    (r"No CUDA GPUs are available|Found no NVIDIA driver|Failed to infer device type",
     "No GPU was found: install the CPU engine, pip install 'adaptory[serve-cpu]'"),
    (r"no kernel image is available|compute capability", "This GPU is too old for this vLLM or this quantisation"),
    (r"Model architectures? .*(?:not supported|failed to be inspected)", "vLLM does not know this base's architecture"),
    (r"max_model_len.*(?:larger|greater) than|User-specified max_model_len",
     "The base was trained for fewer tokens than --context asks for"),
    (r"Unknown quantization method|[Qq]uantization .*not supported", "This vLLM does not support the quantisation"),
    (r"max_lora_rank|max_loras", "vLLM refuses these adapter limits: see --slots and --max-lora-rank"),
    (r"unrecognized arguments: (?P<arguments>.+)", "vLLM does not know the argument {arguments}"),
    (r"argument (?P<arguments>--[\w-]+)", "vLLM refuses the value of {arguments}"),
    (r"Illegal instruction", "This CPU lacks instructions that the engine was built with"),
    (r"No space left on device", "The disk is full"),
    (r"AF_UNIX path too long", "The temporary folder's path is too long for a socket: set TMPDIR to a shorter one"),
)  # fmt: skip
"""Pattern in the engine's output -> what it means. The first that matches wins: special before general."""

STAGES = (
    (r"Loading weights|Starting to load model|Loading safetensors", "loading the weights"),
    (r"init engine|KV cache|kv_cache", "reserving the KV cache"),
    (r"torch\.compile|Capturing CUDA graph|Dynamo", "compiling"),
    (r"Started server process|Application startup|Route:", "opening its door"),
    (r"EngineCore|Initializing a V1|distributed", "starting its worker"),
    (r".", "importing"),
)
TAIL_LINES = 400
_ERROR_LINE = re.compile(r"(?:^|\s)(?P<error>[A-Za-z_.]*(?:Error|Exception): .+)")


def tail(log: Path) -> str:
    """The last lines of a log."""
    try:
        with log.open(encoding="utf-8", errors="replace") as lines:
            return "".join(deque(lines, TAIL_LINES))
    except FileNotFoundError:
        return ""


def explain(output: str, status: int | None) -> str:
    """Why the engine ended, one sentence.

    Args:
        output: the end of its log.
        status: its exit status, 128 + n for signal n, or None where it still runs.
    """
    for pattern, meaning in CAUSES:
        if found := re.search(pattern, output):
            return meaning.format(**found.groupdict()) + "."
    if status == 137:
        return "It was killed, most likely because the machine ran out of memory."
    errors = [found["error"] for line in output.splitlines() if (found := _ERROR_LINE.search(line))]
    if errors:
        return errors[0][:200].strip()
    return "It never became ready." if status is None else f"It ended with status {status}."


def stage(output: str) -> str:
    """What a starting engine is doing."""
    for line in reversed(output.splitlines()):
        for pattern, doing in STAGES[:-1]:
            if re.search(pattern, line):
                return doing
    return STAGES[-1][1]
