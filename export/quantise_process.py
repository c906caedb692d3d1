"""The process that quantises a GGUF: ``python -m export.quantise_process SOURCE TARGET QUANT``."""

import ctypes
import sys

from llama_cpp import llama_cpp

from export.threads import compute_threads


def main(source: str, target: str, quant: str) -> int:
    """Quantise; what llama.cpp returns, 0 where it went well."""
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{quant.upper()}")
    parameters.nthread = compute_threads()
    status: int = llama_cpp.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(parameters))
    return status


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
