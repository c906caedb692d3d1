"""Our commands in processes of their own, as a person runs them."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMANDS = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Shell:
    """A folder to stand in and a home to work in.

    Attributes:
        home: ``ADAPTORY_HOME``, with the registry and the bases.
        folder: where commands are run.
        further: further environment variables.
    """

    home: Path
    folder: Path
    further: dict[str, str] = field(default_factory=dict)

    def start(self, *words: str | Path, **options: Any) -> subprocess.Popen[str]:
        """Start a command; its output is read by whoever calls, unless ``options`` say otherwise."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(
            [COMMANDS / words[0], *words[1:]],
            cwd=self.folder,
            env=environment(self.home) | self.further,
            text=True,
            **(pipes | options),
        )

    def run(self, *words: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which is this exit status."""
        with self.start(*words) as process:
            out, err = process.communicate()
        assert process.returncode == status, out + err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def environment(home: Path) -> dict[str, str]:
    """This process's environment, without settings of the person who runs the tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("ADAPTORY_")}
    return kept | {"ADAPTORY_HOME": str(home), "ADAPTORY_ACTOR": "test", "HF_HUB_OFFLINE": "1"}
