"""One GGUF in memory, asked in OpenAI's terms; everything here blocks and runs in a thread."""

import ctypes
import inspect
import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import llama_cpp
from llama_cpp import llama_cpp as c

BATCH = 512
TEMPLATE_OF_FILE = "chat_template.default"
"""llama-cpp-python's name for the template in the file; left alone, it guesses one of its own from the text."""

PROOF = b"The adapter turns this line into an answer: 1600 Main Street, Springfield"
DEFAULTS = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0}
"""OpenAI's, and the other engine's; llama-cpp-python has others."""

PASSED_OVER = frozenset({"model", "stream_options", "user", "metadata", "store", "service_tier", "n", "best_of"})
"""Fields that change nothing here; ``n`` and ``best_of`` have to be 1."""

_INTERNAL = frozenset({"self", "model", "stopping_criteria", "logits_processor", "grammar"})
FIELDS = {
    path: frozenset(inspect.signature(method).parameters) - _INTERNAL
    for path, method in (
        ("/v1/completions", llama_cpp.Llama.create_completion),
        ("/v1/chat/completions", llama_cpp.Llama.create_chat_completion),
    )
}


class Cancelled(Exception):
    """Nobody waits for the answer any longer."""


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator] # no type information
def _ignore(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:
    """llama.cpp prints pages; what goes wrong comes back as an exception."""


class CountingLlama(llama_cpp.Llama):  # type: ignore[misc] # no type information
    """``Llama`` that counts tokens, can be told to stop, and does not repack weights.

    ``use_extra_bufts`` repacks quantised weights, for AMX among others, and dies with an illegal instruction on virtual
    machines that announce AMX without allowing it. ``Llama`` has no argument for it, but sets its parameters as an
    attribute before it loads.

    Attributes:
        prompt_tokens: of the request that computes or was last.
        answer_tokens: the same.
        cancelled: set while it computes, it ends the request with ``Cancelled`` at the next token.
    """

    cancelled: threading.Event
    prompt_tokens = answer_tokens = 0

    @property
    def model_params(self) -> Any:
        """Parameters of the load."""
        return self._model_params

    @model_params.setter
    def model_params(self, parameters: Any) -> None:
        parameters.use_extra_bufts = False
        self._model_params = parameters

    def generate(self, tokens: Sequence[int], *arguments: Any, **options: Any) -> Iterator[int]:
        """As ``Llama``."""
        self.prompt_tokens, self.answer_tokens = len(tokens), 0
        for token in super().generate(tokens, *arguments, **options):
            if self.cancelled.is_set():
                raise Cancelled
            self.answer_tokens += 1
            yield token


class Model:
    """A GGUF, loaded; one request at a time."""

    def __init__(self, name: str, folder: Path, *, context: int, threads: int) -> None:
        """Load the one GGUF in ``folder``, and have it compute a line.

        Raises:
            ValueError: it cannot be loaded, or gives values that are not finite.
        """
        c.llama_log_set(_ignore, ctypes.c_void_p(0))
        files = sorted(folder.glob("*.gguf"))
        if len(files) != 1:
            raise ValueError(f"one GGUF was expected, there are {len(files)}")
        self.name = name
        self._llama = CountingLlama(
            str(files[0]),
            n_ctx=context,
            n_batch=min(context, BATCH),
            n_threads=threads,
            n_threads_batch=threads,
            n_gpu_layers=-1,
            verbose=False,
        )
        if "tokenizer.chat_template" in self._llama.metadata:
            self._llama.chat_format = TEMPLATE_OF_FILE
        self._prove_finite()

    def ask(self, path: str, document: Mapping[str, Any], cancelled: threading.Event) -> Iterator[dict[str, Any]]:
        """Answer: one document, or with ``stream`` the events, the last of which tells the usage.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: the request cannot be answered.
            Cancelled: ``cancelled`` was set.
        """
        llama = self._llama
        llama.cancelled = cancelled
        method = llama.create_chat_completion if "chat" in path else llama.create_completion
        answer = method(**arguments(path, document), model=self.name)
        if not document.get("stream"):
            yield answer | {"usage": self._usage()}
            return
        event: dict[str, Any] = {}
        for event in answer:
            yield event
        yield event | {"choices": [], "usage": self._usage()}

    def close(self) -> None:
        """Give the memory back."""
        self._llama.close()

    def _usage(self) -> dict[str, int]:
        asked, answered = self._llama.prompt_tokens, self._llama.answer_tokens
        return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}

    def _prove_finite(self) -> None:
        llama = self._llama
        llama.eval(llama.tokenize(PROOF))
        values = c.llama_get_logits_ith(llama.ctx, -1)
        if not all(math.isfinite(values[token]) for token in range(llama.n_vocab())):
            raise ValueError("it gives values that are not finite (NaN or infinity)")
        llama.reset()


def arguments(path: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """A request's fields as ``Llama``'s arguments.

    Raises:
        ValueError: a field that this engine does not have.
    """
    asked = {key: value for key, value in document.items() if value is not None}
    if "max_completion_tokens" in asked:
        asked["max_tokens"] = asked.pop("max_completion_tokens")
    if any(asked.get(key, 1) != 1 for key in ("n", "best_of")):
        raise ValueError("llama.cpp gives one answer to a request: n has to be 1")
    if any(asked.get(key) for key in ("logprobs", "top_logprobs")):
        raise ValueError("llama.cpp gives no log-probabilities here: leave logprobs and top_logprobs out")
    if unknown := sorted(asked.keys() - FIELDS[path] - PASSED_OVER):
        raise ValueError(f"llama.cpp does not know {', '.join(unknown)[:200]}")
    match asked.get("prompt"):
        case [str(only)]:
            asked["prompt"] = only
        case [str(), *_]:
            raise ValueError("llama.cpp answers one prompt at a time")
    return DEFAULTS | {key: asked[key] for key in asked.keys() & FIELDS[path]}
