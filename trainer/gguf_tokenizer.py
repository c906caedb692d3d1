"""What transformers forgets when it rebuilds a tokenizer from a GGUF."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DIGIT_BY_DIGIT = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell"})
"""Values of ``tokenizer.ggml.pre`` for which llama.cpp splits off every digit first (``\\p{N}`` in llama-vocab.cpp)."""


def restore_pre_tokenizer(tokenizer: "PreTrainedTokenizerBase", gguf: Path) -> None:
    """Split digits as the model was trained to see them.

    transformers 5.19 keeps only the byte-level step. Without the step before it, blanks before a digit become other
    tokens than llama.cpp makes of them, so that a GGUF export would read its prompts differently.
    """
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers

    kind = GGUFReader(gguf).get_field("tokenizer.ggml.pre")
    if kind is None or kind.contents() not in DIGIT_BY_DIGIT:
        return
    backend = tokenizer.backend_tokenizer
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
