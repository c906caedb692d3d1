"""Which GGUF is served, what of it lies on the disk, and what becomes of a request's fields."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from registry.artifact import Artifact
from registry.errors import NotFound
from registry.files import FileEntry
from registry.store import Registry
from registry.version import AdapterVersion
from serve.adapters.disk_cache import DiskCache
from serve.engine.llama_model import arguments
from serve.gguf import Ggufs, chosen_quant
from tests.unit.serve.conftest import Push


def export(registry: Registry, version: AdapterVersion, quant: str, size: int, folder: Path) -> bytes:
    folder.mkdir()
    content = bytes(size)
    (folder / "model.gguf").write_bytes(content)
    entry = FileEntry.of(folder, "model.gguf")
    artifact = Artifact(version_digest=version.digest, form="gguf", quant=quant, files=(entry,), recipe={})
    registry.artifacts.add(artifact, folder)
    return content


def test_the_form_closest_to_sixteen_bits_is_chosen(registry: Registry, push: Push, tmp_path: Path) -> None:
    version = push("demo")
    with pytest.raises(NotFound, match="demo:1 has no GGUF") as nothing:
        chosen_quant(registry, version, None)
    assert nothing.value.hint == "adaptory export demo:1 --to gguf"
    export(registry, version, "q4_k_m", 100, tmp_path / "q4")
    export(registry, version, "q8_0", 200, tmp_path / "q8")
    assert chosen_quant(registry, version, None) == "q8_0"
    assert chosen_quant(registry, version, "q4_k_m") == "q4_k_m"
    with pytest.raises(NotFound, match="it has q4_k_m, q8_0"):
        chosen_quant(registry, version, "f16")


def test_the_disk_keeps_ggufs_over_a_restart(registry: Registry, push: Push, tmp_path: Path) -> None:
    exported, other = push("demo"), push("demo")
    content = export(registry, exported, "q8_0", 5000, tmp_path / "q8")

    async def story() -> None:
        for _ in range(2):
            ggufs, pulls = Ggufs(registry, "q8_0"), []

            def pull(version: AdapterVersion, target: Path) -> None:
                pulls.append(version)  # noqa: B023 - used in this turn of the loop only
                ggufs.pull(version, target)  # noqa: B023 - the same

            disk = DiskCache(tmp_path / "cache", 1 << 20, pull, ggufs.files)
            async with disk.copy(exported) as folder:
                assert (folder / "model.gguf").read_bytes() == content
            with pytest.raises(NotFound, match="demo:2 has no GGUF q8_0"):
                async with disk.lease(other):
                    pass
        assert not pulls

    asyncio.run(story())


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ({"prompt": ["Say"], "n": 1, "user": "x", "stop": None}, {"prompt": "Say"}),
        ({"prompt": "Say", "temperature": 0, "top_p": 0.5}, {"prompt": "Say", "temperature": 0, "top_p": 0.5}),
    ],
)
def test_fields_become_arguments(asked: dict[str, Any], given: dict[str, Any]) -> None:
    defaults = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0}
    assert arguments("/v1/completions", asked | {"model": "x"}) == defaults | given


def test_a_chat_may_say_max_completion_tokens() -> None:
    assert arguments("/v1/chat/completions", {"messages": [], "max_completion_tokens": 3})["max_tokens"] == 3


@pytest.mark.parametrize(
    "asked", [{"n": 2}, {"best_of": 3}, {"prompt": ["a", "b"]}, {"ignore_eos": True}, {"logits_processor": []}]
)
def test_what_llama_cpp_cannot_do_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"llama\.cpp"):
        arguments("/v1/completions", {"prompt": "Say"} | asked)


def test_a_chat_that_asks_for_log_probabilities_is_refused_instead_of_getting_none() -> None:
    for asked in ({"logprobs": True}, {"top_logprobs": 3}, {"logprobs": True, "top_logprobs": 0}):
        with pytest.raises(ValueError, match="no log-probabilities"):
            arguments("/v1/chat/completions", {"messages": []} | asked)
    arguments("/v1/chat/completions", {"messages": [], "logprobs": False, "top_logprobs": 0})
