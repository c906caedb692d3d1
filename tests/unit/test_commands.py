"""What a person meets first: help that answers at once, and one red line for a mistake."""

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "vllm", "transformers", "fastapi", "starlette", "sqlalchemy", "numpy", "pydantic", "aiohttp", "rich"}
HELP = [
    ("adaptory", ()),
    ("adaptory", ("base",)),
    ("adaptory", ("train",)),
    ("adaptory", ("serve",)),
    ("adaptory", ("top",)),
    ("adaptory", ("eval",)),
    ("adaptory", ("export",)),
    ("adaptory", ("chat",)),
    ("registry", ()),
    ("registry", ("push",)),
    ("registry", ("promote",)),
    ("registry", ("release", "start")),
    ("registry", ("key", "create")),
    ("registry", ("usage",)),
    ("registry", ("import",)),
    ("registry", ("policy", "signed")),
    ("registry", ("serve",)),
    ("registry", ("watch",)),
    ("registry", ("webhook", "add")),
]
PROGRAM = """
import json, sys
from {module} import {attribute} as command
try:
    command([*sys.argv[1:], "--help"])
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(("command", "arguments"), HELP)
def test_help_teaches_and_imports_nothing_heavy(command: str, arguments: tuple[str, ...]) -> None:
    module, attribute = {"adaptory": ("adaptory", "main"), "registry": ("registry.cli", "registry")}[command]
    program = PROGRAM.format(module=module, attribute=attribute)
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout
    assert HEAVY.isdisjoint(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(("program", "typo", "meant"), [("adaptory", "serv", "serve"), ("registry", "pusj", "push")])
def test_a_typo_in_a_command_is_answered_with_the_nearest(program: str, typo: str, meant: str) -> None:
    module = {"adaptory": "from adaptory import main", "registry": "from registry.cli import registry as main"}[program]
    done = subprocess.run(
        [sys.executable, "-c", f"{module}; main()", typo], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"Did you mean '{meant}'?" in done.stderr
