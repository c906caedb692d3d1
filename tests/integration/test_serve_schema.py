"""Schemathesis over the engine's own OpenAPI document, through the gateway: no body makes it fail."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.integration.serve_fixtures import Server, Workshop
from tests.integration.shell import COMMANDS, environment

PATHS = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens", "min_tokens", "n", "best_of")
SECONDS = "40"


def document(server: Server, model: str) -> dict[str, Any]:
    """The engine's document, of what the gateway forwards; each body names the model and asks for little."""
    whole: dict[str, Any] = json.loads(server.ask_engine("/openapi.json"))
    paths = {path: whole["paths"][path] for path in PATHS}
    for path in paths.values():
        body = path["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        schema = whole["components"]["schemas"][body]
        schema["properties"]["model"] = {"const": model}
        schema["required"] = sorted({*schema.get("required", ()), "model"})
        little = {"anyOf": [{"type": "integer", "maximum": 2}, {"type": "null"}]}
        schema["properties"] |= {length: little for length in LENGTHS if length in schema["properties"]}
    return whole | {"paths": paths}


def test_whatever_fits_the_document_is_answered(server: Server, workshop: Workshop, tmp_path: Path) -> None:
    model = workshop.base.name
    described = tmp_path / "openapi.json"
    described.write_text(json.dumps(document(server, model)))
    engine = server.engine_core().pid
    command = [
        str(COMMANDS / "schemathesis"), "run", str(described), "--url", server.url, "--checks", "not_a_server_error",
        "--seed", "7", "--no-shrink", "--phases", "coverage,fuzzing", "--max-time", SECONDS, "--continue-on-failure",
        "--request-timeout", "120", "--suppress-health-check", "all", "--warnings", "off", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(
        command, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout
    assert server.engine_core().pid == engine
    reply = server.client.completions.create(model=model, prompt="Still", max_tokens=2)
    assert reply.choices
