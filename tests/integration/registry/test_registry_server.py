"""`registry serve` as a process: the commands through it, strangers' requests, and its end."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from safetensors.numpy import save_file

from registry.artifact import Artifact
from registry.base_model import BaseModel
from registry.bases import RECORD
from registry.embedded.registry import EmbeddedRegistry
from registry.embedded.stores import open_stores
from registry.remote.registry import RemoteRegistry
from registry.settings import Settings
from registry.store import Registry
from tests.integration.shell import COMMANDS, Shell, environment
from tests.unit.registry.conftest import weights_of
from tests.unit.registry.served import served

SECONDS = "25"
"""For schemathesis."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server, its machine and another one, which has a key."""

    url: str
    here: Shell
    there: Shell
    process: subprocess.Popen[str]


@pytest.fixture
def place(tmp_path: Path, base: BaseModel) -> Iterator[Place]:
    here = Shell(tmp_path / "here", tmp_path)
    no_key = here.run("registry", "serve", "--port", "0", status=2)
    assert "registry key create NAME --scope admin" in no_key.stderr
    token = here.run("registry", "key", "create", "ada", "--scope", "admin").stdout.strip()
    with here.start("registry", "serve", "--port", "0") as process:
        assert process.stderr
        url = process.stderr.readline().split()[-1].removesuffix("/docs")
        there = Shell(tmp_path / "there", tmp_path, {"ADAPTORY_REGISTRY": url, "ADAPTORY_API_KEY": token})
        record = there.home / "bases" / base.name / RECORD
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps(base.to_json()))
        yield Place(url, here, there, process)
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def adapter(folder: Path) -> Path:
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file({name: np.asarray(value) for name, value in weights_of(1).items()}, folder / "adapter_model.safetensors")
    return folder


def test_every_command_works_through_it(place: Place, tmp_path: Path) -> None:
    there = place.there
    run = adapter(tmp_path / "run")
    pushed = json.loads(there.run("registry", "push", run, "support", "--base", "tiny", "--json").stdout)
    assert (pushed["version"], pushed["actor"], pushed["new"]) == (1, "ada", True)
    assert "pushed before" in there.run("registry", "push", run, "support", "--base", "tiny").stdout
    assert "support:1" in there.run("registry", "list").stdout
    assert "is now support:1" in there.run("registry", "promote", "support:1", "canary", "--reason", "try").stdout
    assert json.loads(there.run("registry", "show", "support@canary", "--json").stdout)["digest"] == pushed["digest"]
    there.run("registry", "pull", "support@canary", "--out", "copy")
    assert (tmp_path / "copy" / "adapter_config.json").read_bytes() == (run / "adapter_config.json").read_bytes()
    (move,) = json.loads(there.run("registry", "history", "support", "--json").stdout)
    assert (move["actor"], move["reason"]) == ("ada", "try")
    refused = there.run("registry", "promote", "support:1", "prod", status=1)
    assert refused.stderr == place.here.run("registry", "promote", "support:1", "prod", status=1).stderr
    assert "nothing to go back to" in there.run("registry", "rollback", "support", "canary", status=1).stderr
    made = json.loads(there.run("registry", "key", "create", "ci", "--scope", "read", "--json").stdout)
    reader = replace(there, further=there.further | {"ADAPTORY_API_KEY": made["secret"]})
    assert "support:1" in reader.run("registry", "list").stdout
    assert "lacks the scope push" in reader.run("registry", "push", run, "x", "--base", "tiny", status=1).stderr
    there.run("registry", "key", "revoke", "ci")
    assert "was revoked" in reader.run("registry", "list", status=1).stderr
    assert [key["name"] for key in json.loads(there.run("registry", "key", "list", "--json").stdout)] == ["ada", "ci"]
    for words in (("usage",), ("replicas",)):
        there.run("registry", *words)
    place.process.send_signal(signal.SIGTERM)
    assert place.process.wait(60) in {0, -signal.SIGTERM}
    away = there.run("registry", "list", status=1).stderr
    assert away.startswith(f"Error: The registry at {place.url} does not answer (")
    assert len(away.splitlines()) == 1


def test_strangers_find_no_fault(place: Place, tmp_path: Path) -> None:
    """Schemathesis: whatever fits the OpenAPI document, and much that does not, is answered without a 500."""
    place.there.run("registry", "push", adapter(tmp_path / "run"), "support", "--base", "tiny", "--alias", "canary")
    command = [
        str(COMMANDS / "schemathesis"), "run", f"{place.url}/openapi.json", "--checks", "not_a_server_error",
        "--header", f"Authorization: Bearer {place.there.further['ADAPTORY_API_KEY']}", "--seed", "7", "--no-shrink",
        "--phases", "coverage,fuzzing", "--max-time", SECONDS, "--continue-on-failure", "--exclude-path", "/events",
        "--exclude-path", "/keys/revoke", "--suppress-health-check", "all", "--warnings", "off", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(
        command, env=environment(tmp_path), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout
    assert httpx.get(f"{place.url}/healthz").json() == {"ok": True}
    settings = Settings.from_environment({"ADAPTORY_HOME": str(place.here.home), "ADAPTORY_ACTOR": "test"})
    registry = Registry.open(settings)
    assert registry.verification.run() == []
    registry.close()


def test_content_goes_up_through_it_and_comes_from_the_bucket(
    scaled: Settings, base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.remote.download.PART", 1 << 20)
    registry = EmbeddedRegistry(open_stores(scaled))
    token = registry.keys.create("ada", actor="test", scopes=("admin",)).token
    with served(tmp_path / "served", keys_required=True) as server:
        server.put(registry)
        remote = RemoteRegistry(server.url, token)
        version = remote.versions.push(adapter(tmp_path / "run"), "support", actor="", base=base).version
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "model").write_bytes(os.urandom((5 << 20) + 3))
        form = Artifact(version_digest=version.digest, form="gguf", quant="q8_0", files=(), recipe={})
        kept = remote.artifacts.add(form, tmp_path / "made")
        answer = httpx.get(
            f"{server.url}/blobs/{kept.files[0].digest}",
            params={"version": version.digest},
            headers={"authorization": f"Bearer {token}"},
        )
        assert answer.status_code == 307
        assert answer.headers["location"].startswith(scaled.s3.endpoint)
        remote.artifacts.pull(kept, tmp_path / "out")
        assert (tmp_path / "out" / "model").read_bytes() == (tmp_path / "made" / "model").read_bytes()
        remote.versions.pull(version, tmp_path / "copy")
        assert registry.verification.run() == []
        remote.close()
    registry.close()
