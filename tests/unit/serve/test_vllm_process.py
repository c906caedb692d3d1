import json
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from serve.engine.lora_kernels import LAUNCHES
from serve.engine.lora_kernels.plugin import SWITCH, platform
from serve.engine.share import Share
from serve.engine.vllm_process import EngineOptions

FOLDER = "VLLM_TUNED_CONFIG_FOLDER"
FILES = sorted(LAUNCHES.glob("*.json"))


def environment(device: str, inherited: dict[str, str]) -> dict[str, str]:
    options = EngineOptions(
        model=Path("nf4"), name="tiny", device=device, slots=1, host_adapters=2, max_lora_rank=16, lora_modules=(),
        context_length=64, max_sequences=4, kv_cache_gib=1,
    )  # fmt: skip
    return options.environment(Share(), Path("runtime"), inherited)


def test_a_gpu_engine_is_given_the_tuned_launches() -> None:
    assert environment("cuda", {})[FOLDER] == str(LAUNCHES)


def test_a_folder_of_the_users_own_stays() -> None:
    assert environment("cuda", {FOLDER: "mine"})[FOLDER] == "mine"


def test_a_cpu_engine_needs_none() -> None:
    assert environment("cpu", {}).keys().isdisjoint({FOLDER, SWITCH})


def test_a_gpu_engine_expands_slice_by_slice_unless_told_not_to() -> None:
    assert environment("cuda", {})[SWITCH] == "1"
    assert environment("cuda", {SWITCH: "0"})[SWITCH] == "0"


def test_vllm_finds_the_plugin_which_leaves_other_engines_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = [one for one in entry_points(group="vllm.platform_plugins") if one.name == "adaptory"]
    assert found.load() is platform
    monkeypatch.delenv(SWITCH, raising=False)
    assert platform() is None


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_vllm_finds_a_launch_for_every_number_of_slices(file: Path) -> None:
    """As vLLM looks one up: adapters, slices, tokens, k, n; the slices have to be there, the rest may be near."""
    for by_slices in json.loads(file.read_text(encoding="utf-8")).values():
        assert {str(number) for number in range(1, 9)} <= by_slices.keys()
        launches = [
            launch
            for by_tokens in by_slices.values()
            for by_k in by_tokens.values()
            for by_n in by_k.values()
            for launch in by_n.values()
        ]
        needed = {"block_m", "block_n", "block_k", "num_warps", "num_ctas", "num_stages"}
        needed |= {"split_k"} if file.stem.endswith("_SHRINK") else set()
        assert launches
        assert all(needed <= launch.keys() for launch in launches)


def test_a_gpu_has_a_file_for_each_kernel() -> None:
    assert {file.name for file in FILES} == {"NVIDIA_H200_SHRINK.json", "NVIDIA_H200_EXPAND_TRUE.json"}
