"""What an export leaves: the child of a version, and a file or folder where the user wants it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adaptory import main
from registry.bases import LocalBases
from registry.settings import Settings
from registry.store import Registry


@pytest.fixture
def pushed(
    tmp_path: Path, bases: LocalBases, make_adapter: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A home whose registry has ours:1, on a machine that does not have its base."""
    home = tmp_path / "home"
    monkeypatch.setenv("ADAPTORY_HOME", str(home))
    monkeypatch.delenv("ADAPTORY_REGISTRY", raising=False)
    registry = Registry.open(Settings.from_environment({"ADAPTORY_HOME": str(home)}))
    registry.versions.push(make_adapter(), "ours", actor="me", base=bases.get("tiny"))
    registry.close()
    return home


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


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
