"""vLLM's CUDA platform, which differs in the LoRA wrapper that it names."""

from vllm.platforms.cuda import CudaPlatform


class SlicedPlatform(CudaPlatform):  # type: ignore[misc] # vLLM is not typed where no GPU is
    """CUDA, with ``SlicedPunica``."""

    @classmethod
    def get_punica_wrapper(cls) -> str:
        """Where vLLM finds the LoRA wrapper."""
        return "serve.engine.lora_kernels.sliced.SlicedPunica"
