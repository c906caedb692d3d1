"""A real base, an adapter, llama.cpp's own converter and quantiser, and an answer from the result."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import NewHome
from tests.integration.serve_fixtures import BASE
from tests.integration.shell import Shell

TINY = "tiny-256"


@pytest.fixture(scope="module")
def shell(new_home: NewHome) -> Shell:
    home = new_home("export")
    return Shell(home, home)


@pytest.fixture(scope="module")
def smol(shell: Shell) -> str:
    """``smol:1``: a random adapter on every linear layer of the real base, small enough that answers stay sane."""
    adapter = _adapter(shell.home, BASE, spread=0.005)
    return str(json.loads(shell.run("registry", "push", adapter, "smol", "--json").stdout)["name"]) + ":1"


@pytest.fixture(scope="module")
def tiny(smol: str, shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> str:  # noqa: ARG001 - tokenizer
    """``tiny:1``: random weights with rows of 256, which K-quants need, and the real tokenizer."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(shell.home / "bases" / BASE / "bf16")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=512,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    source = tmp_path_factory.mktemp("tiny-source")
    model = LlamaForCausalLM(config).bfloat16()  # type: ignore[no-untyped-call] # transformers' own lack
    model.save_pretrained(source)
    tokenizer.save_pretrained(source)
    shell.run("adaptory", "base", "prepare", source, "--name", TINY)
    adapter = _adapter(shell.home, TINY, spread=0.02)
    return str(json.loads(shell.run("registry", "push", adapter, "tiny", "--json").stdout)["name"]) + ":1"


def test_the_merged_model_answers_like_nf4_with_the_adapter(smol: str, shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    made = json.loads(shell.run("adaptory", "export", smol, "--to", "merged-16bit", "--out", out, "--json").stdout)
    assert made["exported"]
    assert made["recipe"]["merge_base"] == "nf4"
    assert made["drift"]["top1_agreement"] >= 0.97
    assert made["drift"]["mean_abs_logprob"] < 0.03
    _same_first_tokens(shell.home, out)


def _same_first_tokens(home: Path, merged: Path) -> None:
    """Beside bitsandbytes itself, in bf16, as trained: PEFT on the NF4 model."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)  # see export.threads
    tokenizer = AutoTokenizer.from_pretrained(merged)
    ids = torch.tensor([tokenizer("The parcel was delivered to the wrong house, so we")["input_ids"]])
    base = AutoModelForCausalLM.from_pretrained(home / "bases" / BASE / "nf4", device_map={"": "cpu"})
    trained = PeftModel.from_pretrained(base, home / "adapters" / BASE)
    ours = AutoModelForCausalLM.from_pretrained(merged, dtype=torch.bfloat16)
    with torch.inference_mode():
        one, two = (torch.log_softmax(model(input_ids=ids).logits.float(), -1)[0] for model in (trained, ours))
    likely = one.topk(5).indices
    assert (one.gather(1, likely) - two.gather(1, likely)).abs().mean() < 0.1  # nats; bf16 noise of two roundings


def test_a_gguf_is_made_kept_placed_and_answers(smol: str, shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "smol.gguf"
    command = ("adaptory", "export", smol, "--to", "gguf", "--quant", "q4_k_m", "--out", out, "--json")
    made, again = json.loads(shell.run(*command).stdout), json.loads(shell.run(*command).stdout)

    assert (made["exported"], again["exported"]) == (True, False)
    assert again["files"] == made["files"]
    assert out.stat().st_size == made["size"] < 120_000_000
    assert any("fell back" in note for note in made["recipe"]["notes"])  # 576 is no multiple of 256
    assert made["recipe"]["tensor_types"]["Q5_0"] > 100
    assert made["drift"]["top1_agreement"] > 0.75

    question = ("adaptory", "chat", smol, "What is the capital of France?", "--local", "--max-tokens", "24")
    spoken, document = shell.run(*question), json.loads(shell.run(*question, "--json").stdout)
    assert "Paris" in spoken.stdout
    assert spoken.stderr == ""
    assert document["answer"].strip() == spoken.stdout.strip()
    assert document["quant"] == "q4_k_m"
    assert not list((shell.home / "cache").glob("export-*"))
    assert [folder.name for folder in (shell.home / "cache/artifacts").iterdir()] == [made["files"][0]["sha256"][7:]]


def test_rows_of_256_get_real_k_quants_and_template_and_stop_tokens_survive(
    tiny: str, shell: Shell, tmp_path: Path
) -> None:
    out = tmp_path / "tiny.gguf"
    made = json.loads(
        shell.run("adaptory", "export", tiny, "--to", "gguf", "--no-drift", "--out", out, "--json").stdout
    )
    assert made["recipe"]["tensor_types"]["Q4_K"] >= 8
    assert not any("fell back" in note for note in made["recipe"]["notes"])
    assert made["drift"] == {}
    _speaks_alike(out, shell.home / "bases" / TINY / "bf16")


def _speaks_alike(gguf: Path, model: Path) -> None:
    """Chat template, tokens and end of an answer, by llama-cpp-python and by transformers."""
    from transformers import AutoTokenizer

    from export.llama import open_llama

    tokenizer = AutoTokenizer.from_pretrained(model)
    with open_llama(gguf, context=64) as llama:
        assert llama.metadata["tokenizer.chat_template"] == tokenizer.chat_template
        assert llama.token_eos() == tokenizer.eos_token_id
        assert llama.model_params.use_extra_bufts is False
        assert llama.create_completion("x", max_tokens=2)["usage"]["completion_tokens"] >= 1


def test_a_wrong_template_in_the_gguf_is_found(tiny: str, shell: Shell, tmp_path: Path) -> None:
    import shutil

    from export.errors import ConversionFailed
    from export.gguf_check import check

    out, model = tmp_path / "tiny.gguf", tmp_path / "model"
    shell.run("adaptory", "export", tiny, "--to", "gguf", "--out", out)
    shutil.copytree(shell.home / "bases" / TINY / "bf16", model)
    check(out, model)
    (model / "chat_template.jinja").write_text("{{ messages[0]['content'] }}", encoding="utf-8")
    with pytest.raises(ConversionFailed, match="chat template"):
        check(out, model)
    shutil.copy(shell.home / "bases" / TINY / "bf16/chat_template.jinja", model)
    (model / "generation_config.json").write_text('{"eos_token_id": [2, 300]}', encoding="utf-8")
    with pytest.raises(ConversionFailed, match="300"):
        check(out, model)


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_in_the_middle_leaves_nothing_behind(tiny: str, shell: Shell, tmp_path: Path) -> None:
    out = tmp_path / "tiny-q8.gguf"
    export = ("adaptory", "export", tiny, "--to", "gguf", "--quant", "q8_0", "--out", out)
    with shell.start(*export, start_new_session=True) as process:
        _wait_for(lambda: list((shell.home / "cache").glob("export-*/gguf")), process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the child too
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip() == "Stopped."
    assert not list((shell.home / "cache").glob("export-*"))
    assert not list(tmp_path.iterdir())
    shown = shell.run("adaptory", "chat", tiny, "--local", "--quant", "q8_0", "q", status=2)
    assert f"adaptory export {tiny} --to gguf --quant q8_0" in shown.stderr


def _wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> None:
    for _ in range(1200):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError("It did not come that far.")


def _adapter(home: Path, base: str, spread: float) -> Path:
    """A random adapter that is not zero, in PEFT's layout, with the record that names its base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(home / "bases" / base / "bf16", dtype=torch.bfloat16)
    settings = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    tuned = get_peft_model(model, settings)
    for name, weight in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=spread)
    folder = home / "adapters" / base
    tuned.save_pretrained(folder)
    record = json.loads((home / "bases" / base / "base.json").read_text(encoding="utf-8"))
    document = {"schema": 1, "base": {key: record[key] for key in ("name", "fingerprint")}}
    document |= {key: {} for key in ("recipe", "data", "metrics", "code")}
    (folder / "record.json").write_text(json.dumps(document), encoding="utf-8")
    return folder
