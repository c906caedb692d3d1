"""Limits that the engine is started with, taken from what it will have to serve."""

from registry.base_model import BaseModel
from registry.errors import InvalidInput
from registry.store import Registry
from serve.engine.vllm_process import RANKS

USUAL_RANK = 16


def fitting_rank(asked: int | None, registry: Registry, base: BaseModel) -> int:
    """The ``max_lora_rank`` to start with: as asked, or the highest in the registry for this base, at least 16.

    vLLM pads every adapter to this rank, and on the CPU its cost grows with it: no higher than needed.

    Raises:
        InvalidInput: vLLM takes no rank as high as this.
    """
    ranks = [
        version.manifest.lora.rank
        for version in registry.versions.list()
        if version.manifest.base_fingerprint == base.fingerprint and version.manifest.lora.rank <= RANKS[-1]
    ]
    wanted = asked or max([USUAL_RANK, *ranks])
    for rank in sorted(RANKS):
        if rank >= wanted:
            return rank
    raise InvalidInput(f"vLLM serves ranks up to {RANKS[-1]}; {wanted} was asked for.")
