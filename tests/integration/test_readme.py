"""Every command in the README runs, in the order in which a person reads it."""

import re
import shlex
import subprocess
from pathlib import Path

import httpx

from tests.integration.conftest import ROOT, Checkout
from tests.integration.serve_fixtures import free_port, wait_for

BLOCK = re.compile(r"^```(?P<language>sh|python)\n(?P<body>.*?)^```", re.MULTILINE | re.DOTALL)
MAKE = Path("/usr/bin/make")


def test_every_command_runs(checkout: Checkout, trained: Path) -> None:
    trained.rename(trained.with_name("trained-before"))  # the README trains its own
    port = str(free_port())
    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("8000", port)
    checkout.environment["ADAPTORY_SERVER"] = f"http://127.0.0.1:{port}"
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for match in BLOCK.finditer(text):
            if match["language"] == "python":
                checkout.run("python", "-c", match["body"])
            else:
                for line in match["body"].splitlines():
                    run_line(checkout, shlex.split(line, comments=True), servers)
    finally:
        for server in servers:
            server.terminate()
            server.wait()
    assert servers


def run_line(checkout: Checkout, words: list[str], servers: list[subprocess.Popen[bytes]]) -> None:
    """Run one line of a shell block; servers go on, and ``make`` only proves that it knows the target."""
    match words:
        case ["make", target]:
            subprocess.run([MAKE, "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
        case ["adaptory", "serve", *_]:
            server = subprocess.Popen(checkout.command(*words), cwd=checkout.folder, env=checkout.environment)
            servers.append(server)
            wait_for(lambda: server.poll() is not None or ready(checkout.environment["ADAPTORY_SERVER"]))
            assert server.poll() is None
        case _:
            checkout.run(*words)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=10).status_code == 200
    except httpx.HTTPError:
        return False
