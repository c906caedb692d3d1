"""A plugin for vLLM's processes: ``adaptory serve`` has its engine on a GPU expand slice by slice (``sliced``).

vLLM finds it through the entry point group ``vllm.platform_plugins``, because a platform is what names the class of the
LoRA wrapper. It does nothing unless ADAPTORY_SLICED_LORA=1, and nothing where vLLM does not run on NVIDIA's GPUs.
"""

import os

SWITCH = "ADAPTORY_SLICED_LORA"
PLATFORM = "serve.engine.lora_kernels.sliced_platform.SlicedPlatform"


def platform() -> str | None:
    """The entry point: the class of the platform that vLLM should use, or None for its own."""
    if os.environ.get(SWITCH) != "1":
        return None
    from vllm.platforms import cuda_platform_plugin

    return PLATFORM if cuda_platform_plugin() else None
