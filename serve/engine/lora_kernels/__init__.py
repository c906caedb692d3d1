"""What vLLM's LoRA kernels are given on a GPU: launches that were tuned for it, and one slice at a time."""

from pathlib import Path

LAUNCHES = Path(__file__).with_name("launches")
"""Launches of vLLM's LoRA kernels, tuned on the GPU that a file is named for (``bench/tune_lora.py``); the figures are
in ``docs/performance.md``. vLLM takes its own where no file has its GPU's name."""
