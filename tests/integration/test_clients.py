"""The clients that people have work unmodified: OpenAI's for Node, LiteLLM's, curl. (OpenAI's for Python: everywhere.)

They are installed, pinned, once for each state of their lists, below ``build/clients``.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.serve_fixtures import YES, Server, Workshop

HERE = Path(__file__).with_name("clients")
KEPT = Path(__file__).parents[2] / "build" / "clients"
TOKENS = 6  # as the scripts ask for
SECONDS = 900  # installing on a busy machine


@pytest.fixture(scope="module")
def model(workshop: Workshop) -> str:
    return str(workshop.push("client", YES))


@pytest.fixture(scope="session")
def node() -> Path:
    """A folder with OpenAI's client for Node."""
    lists = [HERE / name for name in ("package.json", "package-lock.json", ".npmrc")]

    def install(folder: Path) -> None:
        for file in lists:
            shutil.copy(file, folder)
        run(program("npm"), "ci", "--ignore-scripts", "--no-progress", folder=folder)

    return made_once("node", lists, install)


@pytest.fixture(scope="session")
def litellm() -> Path:
    """A folder with LiteLLM's client, to stand before this environment's packages."""
    pinned = HERE / "litellm.txt"

    def install(folder: Path) -> None:
        pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile")
        run(*pip, "--target", ".", "-r", str(pinned), folder=folder)

    return made_once("litellm", [pinned], install)


def test_openai_s_client_for_node(server: Server, model: str, node: Path) -> None:
    shutil.copy(HERE / "ask.mjs", node)  # node finds packages from where a script is
    answer = json.loads(run(program("node"), "ask.mjs", f"{server.url}/v1", model, folder=node))
    prove(answer, server, model)
    assert answer["failure"]["kind"] == "NotFoundError"
    assert answer["failure"]["code"] == "model_not_found"


def test_litellm_s_client(server: Server, model: str, litellm: Path) -> None:
    environment = {"PYTHONPATH": str(litellm), "LITELLM_LOCAL_MODEL_COST_MAP": "True"}  # else it asks the network
    script = str(HERE / "ask_litellm.py")
    printed = run(sys.executable, script, f"{server.url}/v1", model, folder=litellm, **environment)
    answer = json.loads(printed.splitlines()[-1])  # it has more to say when something fails
    prove(answer, server, model)
    assert answer["failure"]["kind"] == "NotFoundError"


def test_curl(server: Server, model: str, tmp_path: Path) -> None:
    def ask(path: str, **body: Any) -> str:
        data = ("-H", "content-type: application/json", "-d", json.dumps(body)) if body else ()
        return run(program("curl"), "-sSN", f"{server.url}{path}", *data, folder=tmp_path)

    question = {"model": model, "messages": [{"role": "user", "content": "Hello, who are you?"}],
                "max_tokens": TOKENS, "temperature": 0}  # fmt: skip
    events = ask("/v1/chat/completions", **question, stream=True, stream_options={"include_usage": True}).split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    chunks = [json.loads(event.removeprefix("data: ")) for event in events[:-2]]
    assert {chunk["model"] for chunk in chunks} == {model}
    whole = json.loads(ask("/v1/chat/completions", **question))
    failure = json.loads(ask("/v1/chat/completions", **question | {"model": "nobody:1"}))["error"]
    answer = {
        "whole": whole["choices"][0]["message"]["content"],
        "streamed": "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"]),
        "tokens": chunks[-1]["usage"]["completion_tokens"],
        "models": [entry["id"] for entry in json.loads(ask("/v1/models"))["data"]],
        "failure": failure | {"status": 404},
    }
    prove(answer, server, model)
    assert failure["code"] == "model_not_found"


def prove(answer: dict[str, Any], server: Server, model: str) -> None:
    """What every client has to have got."""
    assert answer["whole"] == answer["streamed"] == YES * TOKENS
    assert answer["tokens"] == TOKENS
    assert model in answer["models"]
    assert set(answer["models"]) == set(server.models())
    assert answer["failure"]["status"] == 404
    assert "The model 'nobody:1' does not exist" in answer["failure"]["message"]


def program(name: str) -> str:
    """Where a program is that these tests cannot do without."""
    found = shutil.which(name)
    if not found:
        pytest.fail(f"{name} is not on the PATH; this test needs it (apt-get install nodejs npm curl).", pytrace=False)
    return found


def run(*words: str, folder: Path, **environment: str) -> str:
    """Run a program to its good end; returns what it printed."""
    done = subprocess.run(
        words, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, f"{' '.join(words[:3])}: {done.stdout}{done.stderr}"
    return done.stdout


def made_once(name: str, lists: list[Path], install: Callable[[Path], None]) -> Path:
    """The folder that these lists make, whole or not there."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in lists)).hexdigest()
    folder = KEPT / f"{name}-{digest[:12]}"
    if not folder.is_dir():
        KEPT.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=KEPT))
        try:
            install(making)
            making.rename(folder)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return folder
