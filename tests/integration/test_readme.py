"""Every command in the README runs, in the order in which a person reads it."""

import dataclasses
import re
import shlex
import subprocess
from pathlib import Path

import httpx

from tests.integration.conftest import ROOT, TRAIN
from tests.integration.serve_fixtures import free_port, wait_for
from tests.integration.shell import Shell

BLOCK = re.compile(r"^```(?P<language>sh|python)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
MAKE = Path("/usr/bin/make")


def test_every_command_runs(checkout: Shell, trained: Path) -> None:
    port = str(free_port())
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("8000", port)
    shell = dataclasses.replace(checkout, further={"ADAPTORY_SERVER": f"http://127.0.0.1:{port}"})
    servers: list[subprocess.Popen[str]] = []
    try:
        for match in BLOCK.finditer(text):
            if match["language"] == "python":
                shell.run("python", "-c", match["body"])
            else:
                for line in match["body"].splitlines():
                    run_line(shell, tuple(shlex.split(line, comments=True)), servers)
    finally:
        for server in servers:
            server.terminate()
            server.wait()
    assert servers
    assert trained.is_dir()


def run_line(shell: Shell, words: tuple[str, ...], servers: list[subprocess.Popen[str]]) -> None:
    """Run one line of a shell block; servers go on, and ``make`` only proves that it knows the target.

    Activating the environment is left out: it is a shell's own affair, and ``Shell`` finds our commands without it.
    """
    match words:
        case (".", ".venv/bin/activate"):
            pass
        case ("make", target):
            subprocess.run([MAKE, "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
        case ("adaptory", "train", *_):
            assert words == TRAIN  # which the fixture ``trained`` has run, here
        case ("adaptory", "serve", *_):
            server = shell.start(*words, stdout=None, stderr=None)
            servers.append(server)
            wait_for(lambda: server.poll() is not None or ready(shell.further["ADAPTORY_SERVER"]))
            assert server.poll() is None
        case _:
            shell.run(*words)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False
