import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adaptory import main

HEAVY = ("torch", "transformers", "llama_cpp", "sqlalchemy", "numpy", "pydantic", "httpx")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ADAPTORY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ADAPTORY_SERVER", "http://127.0.0.1:1")
    for name in ("ADAPTORY_REGISTRY", "ADAPTORY_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


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


@pytest.mark.parametrize("command", ["export", "chat"])
def test_help_is_light(command: str) -> None:
    code = (
        "import sys; from click.testing import CliRunner; from adaptory import main;"
        f"assert CliRunner().invoke(main, [{command!r}, '--help']).exit_code == 0;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
