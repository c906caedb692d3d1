"""Setup: what is served, by which engine, on what of this machine; from what was typed."""

import os
from dataclasses import dataclass

from registry.base_model import BaseModel
from registry.bases import LocalBases
from registry.errors import InvalidInput
from registry.optional import require
from registry.profile import ServingProfile
from registry.settings import Settings
from registry.store import Registry
from serve.engine.llama_process import LlamaOptions
from serve.engine.profile import GATEWAY_PACKAGES, find_engine, llama_profile, serving_profile
from serve.engine.program import Program
from serve.engine.share import Share, cpu_shares, gpu_shares
from serve.engine.vllm_process import EngineOptions
from serve.gguf import chosen_quant
from serve.limits import fitting_rank

LONGEST_CONTEXT = 4096
"""Tokens by default, where the base was trained for as many: more costs memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Options as typed; None where nothing was. See ``adaptory serve --help``."""

    engines: int | None
    devices: str | None
    slots: int | None
    host_adapters: int | None
    max_lora_rank: int | None
    context: int | None
    max_sequences: int | None
    kv_cache: int
    quant: str | None
    engine_args: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a server is made of, apart from the gateway's own options.

    Attributes:
        base: what versions have to be for.
        profile: what a client gets.
        engine: how an engine is started.
        shares: what each engine has of the machine.
        quant: of the GGUFs that are served, or None.
    """

    base: BaseModel
    profile: ServingProfile
    engine: Program
    shares: tuple[Share, ...]
    quant: str | None = None


def require_packages(*, gguf: bool) -> None:
    """Prove that what serves is installed, before anything is touched.

    Raises:
        MissingPackage: a package is not.
    """
    if gguf:
        require("serve-gguf", GATEWAY_PACKAGES | {"llama_cpp": "llama-cpp-python"})
    else:
        find_engine()


def vllm_setup(base_name: str, asked: Asked, settings: Settings, registry: Registry) -> Setup:
    """VLLM over a prepared base.

    Raises:
        NotFound: the base is not prepared.
        InvalidInput: options that cannot be.
    """
    if asked.quant:
        raise InvalidInput("--quant is of GGUFs.", "adaptory serve --gguf NAME --quant q8_0")
    bases = LocalBases(settings.bases)
    base = bases.get(base_name)
    installed = find_engine()
    cpu = installed.device == "cpu"
    slots = asked.slots or (4 if cpu else 8)
    context = asked.context or min(base.context_length, LONGEST_CONTEXT)
    engine = EngineOptions(
        model=bases.nf4(base),
        name=base.name,
        device=installed.device,
        slots=slots,
        host_adapters=max(asked.host_adapters or 4 * slots, slots + 1),
        max_lora_rank=fitting_rank(asked.max_lora_rank, registry, base),
        lora_modules=tuple(sorted({module.rpartition(".")[2] for module in base.modules})),
        context_length=context,
        max_sequences=asked.max_sequences or (16 if cpu else 256),
        kv_cache_gib=asked.kv_cache,
        extra=asked.engine_args,
    )
    profile = serving_profile(base, installed, context, asked.engine_args)
    return Setup(base=base, profile=profile, engine=engine, shares=_shares(asked, installed.device))


def gguf_setup(reference: str, asked: Asked, registry: Registry) -> Setup:
    """llama.cpp over exported GGUFs.

    Args:
        reference: to a version; its base's versions are served, those that have a GGUF of the same quantisation.
        asked: options.
        registry: has the version and its GGUFs.

    Raises:
        NotFound: there is no such version, or it was not exported.
        InvalidInput: options that cannot be.
    """
    if asked.engine_args or asked.max_lora_rank or asked.max_sequences:
        raise InvalidInput("--engine-arg, --max-lora-rank and --max-sequences are vLLM's, not llama.cpp's.")
    version = registry.versions.get(reference)
    base = registry.bases.get(version.manifest.base_fingerprint)
    quant = chosen_quant(registry, version, asked.quant)
    slots = asked.slots or 1
    engine = LlamaOptions(
        name=base.name,
        slots=slots,
        host_adapters=max(asked.host_adapters or 0, slots + 1),
        context_length=asked.context or min(base.context_length, LONGEST_CONTEXT),
    )
    profile = llama_profile(base, quant, engine.context_length)
    return Setup(base=base, profile=profile, engine=engine, shares=_shares(asked, profile.device), quant=quant)


def _shares(asked: Asked, device: str) -> tuple[Share, ...]:
    if device != "cpu":
        return gpu_shares(asked.engines, asked.devices, os.environ.get("CUDA_VISIBLE_DEVICES"))
    if asked.devices is not None:
        raise InvalidInput("--devices names GPUs, and this engine computes on the CPU.", "adaptory serve --engines 2")
    return cpu_shares(asked.engines or 1, tuple(os.sched_getaffinity(0)))
