"""Schemathesis over the engine's own OpenAPI document, through the gateway: no body makes it fail."""

import json
import subprocess
from pathlib import Path
from typing import Any

import httpx

from tests.integration.serve_fixtures import Server, Workshop
from tests.integration.shell import COMMANDS, environment

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens", "n", "best_of")
EXAMPLES = "60"
"""For each path; the same ones every time."""


def document(server: Server, model: str) -> dict[str, Any]:
    """The engine's document, of what the gateway forwards; each body names the model and asks for little."""
    whole: dict[str, Any] = json.loads(server.ask_engine("/openapi.json"))
    paths = {path: whole["paths"][path] for path in PATHS}
    for path in paths.values():
        body = path["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        schema = whole["components"]["schemas"][body]
        schema["properties"]["model"] = {"const": model}
        lengths = [length for length in LENGTHS if length in schema["properties"]]
        schema["properties"] |= {length: {"type": "integer", "maximum": 2} for length in lengths}
        schema["required"] = sorted({*schema.get("required", ()), "model", *lengths})
    return whole | {"paths": paths}


def test_whatever_fits_the_document_is_answered(server: Server, workshop: Workshop, tmp_path: Path) -> None:
    model = workshop.base.name
    described = tmp_path / "openapi.json"
    described.write_text(json.dumps(document(server, model)))
    engine = server.engine_core().pid
    command = [
        str(COMMANDS / "schemathesis"), "run", str(described), "--url", server.url, "--checks", "not_a_server_error",
        "--seed", "7", "--generation-deterministic", "--max-examples", EXAMPLES, "--phases", "fuzzing", "--no-shrink",
        "--continue-on-failure", "--request-timeout", "300", "--suppress-health-check", "all", "--warnings", "off",
        "--no-color",
    ]  # fmt: skip
    done = subprocess.run(
        command, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout
    assert server.engine_core().pid == engine
    reply = server.client.completions.create(model=model, prompt="Still", max_tokens=2)
    assert reply.choices


def test_what_the_engine_cannot_read_is_told_so(server: Server, workshop: Workshop) -> None:
    """vLLM 0.32 trips over a function's output in parts, as OpenAI's API stores it, and would answer 500."""
    output = {
        "type": "function_call_output", "id": "fc_1", "created_by": None, "call_id": "one", "status": "completed",
        "output": [{"type": "input_text", "text": "4"}],
    }  # fmt: skip
    body = {"model": workshop.base.name, "input": [output], "max_output_tokens": 2}
    answer = httpx.post(f"{server.url}/v1/responses", json=body, timeout=120)
    assert answer.status_code == 400
    assert "cannot make a prompt of this request" in answer.json()["error"]["message"]
