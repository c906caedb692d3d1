"""Which engines would take an adapter, in the table and in the command."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from registry.admission import Admitted
from registry.base_model import BaseModel
from registry.cli import registry as command
from registry.manifest import LoraConfig
from registry.portability import RANK_STEPS, Answer, portability
from tests.unit.registry.conftest import MakeAdapter

LORA = LoraConfig(rank=24, alpha=24.0, target_modules=("q_proj",))
ADMITTED = Admitted(LORA, ("model.layers.0.self_attn.q_proj",), ("BF16",))
LLAMA_CPP, FOLDER, GGUF, NEWEST = (
    "llama.cpp --lora",
    "Ollama to 0.34.0, ADAPTER folder",
    "Ollama to 0.34.0, ADAPTER file.gguf",
    "Ollama from 0.34.1",
)


def answers(admitted: Admitted, base: BaseModel) -> dict[str, str]:
    return {verdict.engine: verdict.answer.value for verdict in portability(admitted, base)}


def test_vllm_takes_what_its_limit_allows(base: BaseModel) -> None:
    table = answers(ADMITTED, base)
    for step in RANK_STEPS:
        assert table[f"vLLM --max-lora-rank {step}"] == ("works" if step >= 24 else "refused")
    rounded = portability(replace(ADMITTED, dtypes=("F32",)), base)
    assert rounded[-5].answer is Answer.WORKS_WITH
    assert "bf16" in rounded[-5].detail


@pytest.mark.parametrize(
    ("lora", "architecture", "module", "expected"),
    [
        ({}, "LlamaForCausalLM", "q_proj", ("works with", "works with", "works with")),
        ({}, "Qwen3ForCausalLM", "q_proj", ("works with", "refused", "works with")),
        ({}, "NobodysForCausalLM", "q_proj", ("refused", "refused", "refused")),
        ({}, "LlamaForCausalLM", "qkv_proj", ("works with", "refused", "works with")),
        ({"use_rslora": True}, "LlamaForCausalLM", "q_proj", ("refused", "refused", "refused")),
        ({"alpha": 1.5}, "LlamaForCausalLM", "q_proj", ("works with", "refused", "works with")),
    ],
)
def test_llama_cpp_and_ollama(
    lora: dict[str, Any], architecture: str, module: str, expected: tuple[str, ...], base: BaseModel
) -> None:
    admitted = replace(ADMITTED, lora=replace(LORA, **lora), modules=(f"model.layers.0.self_attn.{module}",))
    table = answers(admitted, replace(base, architecture=architecture))
    assert tuple(table[engine] for engine in (LLAMA_CPP, FOLDER, GGUF)) == expected
    assert table[NEWEST] == "refused"


def test_check_prints_the_table_and_keeps_nothing(
    base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "bases" / base.name).mkdir(parents=True)
    (home / "bases" / base.name / "base.json").write_text(json.dumps(base.to_json()))
    monkeypatch.setenv("ADAPTORY_HOME", str(home))
    arguments = ["check", str(make_adapter()), "--base", base.name]
    text = CliRunner().invoke(command, arguments)
    assert text.exit_code == 0, text.output
    assert "Fits tiny: rank 2, 4 layers" in text.output
    document = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)
    assert document["base_fingerprint"] == base.fingerprint
    assert {row["engine"] for row in document["portability"]} == answers(ADMITTED, base).keys()
    assert not (home / "registry").exists()
    other = {"base": {"name": "other", "fingerprint": "sha256:" + "1" * 64}}
    record = other | {key: {} for key in ("recipe", "data", "metrics", "code")}
    refused = CliRunner().invoke(command, ["check", str(make_adapter(record=record)), "--base", base.name])
    assert refused.exit_code == 2
    assert "was trained on the base other" in refused.output
