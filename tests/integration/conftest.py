"""What integration tests share, made once a session: a prepared base, a running server, a trained run."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.serve_fixtures import ADAPTORY, Workshop, environment, server, workshop

__all__ = ["server", "workshop"]  # fixtures

ROOT = Path(__file__).parents[2]
STEPS = 24  # enough for answers that are JSON; the demo trains in earnest


@dataclass(frozen=True, slots=True)
class Checkout:
    """A folder like a fresh clone, whose commands work in the workshop's home.

    Attributes:
        folder: its root.
        environment: of its commands.
    """

    folder: Path
    environment: dict[str, str]

    def command(self, *words: str) -> list[str]:
        """A command with the path of this environment's executables."""
        return [str(Path(ADAPTORY).with_name(words[0])), *words[1:]]

    def run(self, *words: str) -> str:
        """Run a command and return what it printed."""
        done = subprocess.run(
            self.command(*words), cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def checkout(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The examples, with a short training and a suite of a few items without a gate, and their data."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ROOT / "examples", folder / "examples")
    recipe, suite = (folder / "examples" / "address" / name for name in ("recipe.toml", "suite.toml"))
    short = re.sub(r"max_steps = \d+", f"max_steps = {STEPS}", recipe.read_text())
    recipe.write_text(re.sub(r"score_rows = \d+", "score_rows = 4", short))
    suite.write_text(re.sub(r"limit = \d+", "limit = 4", suite.read_text()).partition("[gate]")[0])
    made = Checkout(folder, os.environ | environment(workshop.settings.home))
    made.run("python", "examples/address/prepare_data.py", "--out", "build/address")
    return made


@pytest.fixture(scope="session")
def trained(checkout: Checkout) -> Path:
    """A run folder of the recipe."""
    checkout.run("adaptory", "train", "examples/address/recipe.toml")
    return checkout.folder / "runs" / "address"
