"""A version's GGUF, taken out of the registry once and answered from in this process."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from export.plan import QUANTS
from export.prompts import Messages
from export.space import disk_full_in_one_line
from export.steps import Steps
from registry.artifact import Artifact
from registry.errors import Conflict, InvalidInput, NotFound
from registry.files import safe_path
from registry.optional import require
from registry.store import Registry
from registry.version import AdapterVersion

CONTEXT = 4096
"""Tokens of prompt and answer together, where the model was trained for as many: more costs memory."""


Answers = Callable[[Messages, Mapping[str, Any]], Iterator[str]]
"""Gives the answer to a conversation piece by piece; the options are ``max_tokens`` and ``temperature``."""


def best_gguf(registry: Registry, version: AdapterVersion, quant: str | None) -> Artifact:
    """The version's GGUF that is closest to the 16-bit weights, or the one that was asked for.

    Raises:
        NotFound: it was not exported.
    """
    found = {
        artifact.quant: artifact for artifact in registry.artifacts.list(version.digest) if artifact.form == "gguf"
    }
    chosen = quant or next((name for name in QUANTS if name in found), None)
    if chosen is None or chosen not in found:
        hint = f"adaptory export {version} --to gguf" + (f" --quant {quant}" if quant else "")
        raise NotFound(f"{version} has no GGUF{f' {quant}' if quant else ''} on this machine.", hint)
    return found[chosen]


def context_of(artifact: Artifact) -> int:
    """Tokens of prompt and answer together that a conversation may have."""
    return min(CONTEXT, int(artifact.recipe.get("context_length") or CONTEXT))


def materialise(registry: Registry, artifact: Artifact, cache: Path, steps: Steps) -> Path:
    """The artifact's file in ``<cache>/artifacts/<hex digest>/``, copied out of the registry the first time."""
    entry = artifact.files[0]
    folder = cache / "artifacts" / entry.digest.removeprefix("sha256:")
    if not folder.is_dir():
        try:
            with disk_full_in_one_line(cache), steps.bytes("taking the GGUF out", artifact.size) as on_bytes:
                registry.artifacts.pull(artifact, folder, on_bytes)
        except (Conflict, OSError):
            if not folder.is_dir():  # somebody else was faster: theirs was verified too
                raise
    return folder / safe_path(entry.path)


@contextmanager
def local_answers(file: Path, context: int) -> Iterator[Answers]:
    """Load the GGUF for the length of a block; ``context`` is tokens of prompt and answer together.

    Raises:
        MissingPackage: llama-cpp-python is not installed.
    """
    require("export", {"llama_cpp": "llama-cpp-python"})
    from export.llama import open_llama

    with open_llama(file, context=context) as llama:

        def answer(messages: Messages, options: Mapping[str, Any]) -> Iterator[str]:
            try:
                for event in llama.create_chat_completion(list(messages), stream=True, **options):
                    if text := event["choices"][0]["delta"].get("content"):
                        yield text
            except ValueError as error:  # llama-cpp-python's only error for a prompt that is too long
                raise InvalidInput(f"The conversation does not fit into {context} tokens: {error}") from error

        yield answer
