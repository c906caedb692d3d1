import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adaptory import main
from registry.bases import LocalBases
from registry.settings import Settings
from registry.store import Registry

HEAVY = ("torch", "transformers", "llama_cpp", "sqlalchemy", "numpy", "pydantic", "httpx")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADAPTORY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ADAPTORY_SERVER", "http://127.0.0.1:1")
    for name in ("ADAPTORY_REGISTRY", "ADAPTORY_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def pushed(home: Path, bases: LocalBases, make_adapter: Callable[..., Path]) -> Path:
    """A registry with ours:1, on a machine that does not have its base."""
    registry = Registry.open(Settings.from_environment({"ADAPTORY_HOME": str(home)}))
    registry.versions.push(make_adapter(), "ours", actor="me", base=bases.get("tiny"))
    registry.close()
    return home


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("export", "x", "--to", "gguf", "--quant", "q9"), "q9"),
        (("export", "x"), "--to"),
        (("export", "x", "--to", "merged-16bit", "--quant", "q8_0"), "--to gguf --quant q8_0"),
        (("export", "X!", "--to", "gguf"), "is not a name"),
        (("export", "nobody:1", "--to", "gguf"), "nobody"),
        (("chat", "x"), 'adaptory chat x "…"'),
        (("chat", "x", "q", "--quant", "q8_0"), "--local"),
        (("chat", "nobody:1", "q", "--local"), "nobody"),
    ],
)
@pytest.mark.usefixtures("home")
def test_mistakes_are_one_line_and_exit_2(arguments: tuple[str, ...], expected: str) -> None:
    result = _run(*arguments)
    assert result.exit_code == 2
    assert expected in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("pushed")
def test_a_base_that_is_not_here_is_named_with_what_to_type() -> None:
    result = _run("export", "ours:1", "--to", "gguf")
    assert result.exit_code == 2
    assert "adaptory base prepare SOURCE --name tiny" in result.stderr


@pytest.mark.usefixtures("pushed")
def test_a_version_without_gguf_says_how_to_get_one() -> None:
    result = _run("chat", "ours:1", "--local", "q")
    assert result.exit_code == 2
    assert result.stderr.rstrip().endswith("adaptory export ours:1 --to gguf")


def test_a_place_that_is_taken_is_refused_before_any_work(pushed: Path, bases: LocalBases, tmp_path: Path) -> None:
    (pushed / "bases").symlink_to(bases.root)
    (tmp_path / "taken.gguf").write_text("mine", encoding="utf-8")
    result = _run("export", "ours:1", "--to", "gguf", "--out", str(tmp_path / "taken.gguf"))
    assert result.exit_code == 1
    assert "exists already" in result.stderr
    assert (tmp_path / "taken.gguf").read_text(encoding="utf-8") == "mine"
    assert not (pushed / "cache").exists()


def test_merged_weights_are_kept_placed_and_not_made_twice(pushed: Path, bases: LocalBases, tmp_path: Path) -> None:
    (pushed / "bases").symlink_to(bases.root)
    command = ("export", "ours:1", "--to", "merged-16bit", "--no-drift", "--out", str(tmp_path / "merged"))
    first, again, elsewhere = _run(*command), _run(*command), _run(*command[:-1], str(tmp_path / "other"))
    assert [first.exit_code, again.exit_code, elsewhere.exit_code] == [0, 0, 0], first.output
    assert "Exported ours:1" in first.stdout
    assert "exported before" in again.stdout
    assert "exported before" in elsewhere.stdout
    assert (tmp_path / "merged/model.safetensors").read_bytes() == (tmp_path / "other/model.safetensors").read_bytes()
    assert not list((pushed / "cache").iterdir())
    (tmp_path / "merged/config.json").write_text("{}", encoding="utf-8")
    assert _run(*command).exit_code == 1  # somebody's change is not overwritten


@pytest.mark.parametrize("command", ["export", "chat"])
def test_help_is_light(command: str) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from adaptory import main;"
        f"assert CliRunner().invoke(main, [{command!r}, '--help']).exit_code == 0;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
