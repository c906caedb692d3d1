"""llama.cpp in this process: quiet, and without the weight repacking that kills it on some machines."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import llama_cpp
from llama_cpp import llama_cpp as c

from export.threads import compute_threads
from registry.errors import Corrupted

DEFAULT_TEMPLATE = "chat_template.default"
"""llama-cpp-python's name for the template in the file; without it, it guesses one of its own from the text."""


BATCH = 512
"""Tokens of a prompt that are computed at once."""


NO_LOG = ctypes.cast(c.llama_supports_mmap, llama_cpp.llama_log_callback)
"""Takes llama.cpp's pages of log and does nothing; what goes wrong comes back as an exception.

It is a function of C without arguments and effects (those it is given stay unread), as one of Python would lose Ctrl-C:
Python notices a signal at the first line of its own that runs, which during a load is the callback's, and ctypes prints
an exception there as ignored.
"""


class QuietLlama(llama_cpp.Llama):  # type: ignore[misc] # no type information
    """``Llama`` with ``use_extra_bufts`` off.

    That option repacks quantised weights, for AMX among others, and dies with an illegal instruction on virtual
    machines that announce AMX without allowing it. ``Llama`` has no argument for it, but sets its parameters as an
    attribute before it loads.
    """

    @property
    def model_params(self) -> Any:
        """Parameters of the load."""
        return self._model_params

    @model_params.setter
    def model_params(self, parameters: Any) -> None:
        parameters.use_extra_bufts = False
        self._model_params = parameters


@contextmanager
def open_llama(file: Path, *, context: int, logits: bool = False) -> Iterator[QuietLlama]:
    """Load a GGUF for the length of a block.

    Args:
        file: the GGUF.
        context: tokens of prompt and answer together.
        logits: keep the logits of every position, not of the last only.

    Raises:
        Corrupted: llama.cpp cannot load it.
    """
    c.llama_log_set(NO_LOG, ctypes.c_void_p(0))
    with Vocabulary(file) as vocabulary:
        template = vocabulary.template
    threads = compute_threads()
    try:
        llama = QuietLlama(
            str(file),
            n_ctx=context,
            n_batch=min(context, BATCH),
            n_threads=threads,
            n_threads_batch=threads,
            n_gpu_layers=-1,
            logits_all=logits,
            chat_format=DEFAULT_TEMPLATE if template else None,
            verbose=False,
        )
    except ValueError as error:
        raise Corrupted(f"llama.cpp cannot load {file}: {error}") from error
    try:
        yield llama
    finally:
        llama.close()


class Vocabulary:
    """The tokens of a GGUF, without its weights; llama.cpp then knows nothing else of it, not even its context length.

    Raises:
        Corrupted: llama.cpp cannot load it.
    """

    def __init__(self, file: Path) -> None:
        c.llama_log_set(NO_LOG, ctypes.c_void_p(0))
        c.llama_backend_init()
        parameters = c.llama_model_default_params()
        parameters.vocab_only = True
        self._model = c.llama_model_load_from_file(str(file).encode(), parameters)
        if self._model is None:
            raise Corrupted(f"llama.cpp cannot load {file}.")
        self._vocab = c.llama_model_get_vocab(self._model)

    @property
    def template(self) -> str:
        """The chat template, or ``""``."""
        text: bytes | None = c.llama_model_chat_template(self._model, None)
        return (text or b"").decode()

    def ends(self, token: int) -> bool:
        """Whether generation stops at this token."""
        return bool(c.llama_vocab_is_eog(self._vocab, token))

    def tokens(self, text: str) -> tuple[int, ...]:
        """Ids of a text that may hold special tokens; none is added."""
        raw = text.encode()
        buffer = (c.llama_token * (len(raw) + 8))()
        count = c.llama_tokenize(self._vocab, raw, len(raw), buffer, len(buffer), False, True)
        return tuple(buffer[:count])

    def __enter__(self) -> "Vocabulary":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        c.llama_model_free(self._model)
