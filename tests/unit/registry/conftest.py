"""A tiny base and adapters for it: enough for every rule, made in a moment."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from registry.base_model import NF4, BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.store import Registry

if TYPE_CHECKING:
    from tests.unit.registry.served import Served

MakeAdapter = Callable[..., Path]
MODULES = {f"model.layers.{layer}.{module}": (8, 4) for layer in (0, 1) for module in ("q_proj", "v_proj")}
RANK = 2


@pytest.fixture
def base() -> BaseModel:
    return BaseModel(
        name="tiny",
        source="made here",
        revision="1",
        quantization=NF4,
        architecture="LlamaForCausalLM",
        parameters=128,
        context_length=64,
        chat_template_digest="",
        modules=MODULES,
        bf16=(),
        nf4=(),
    )


@pytest.fixture
def registry(embedded: EmbeddedRegistry) -> Registry:
    return embedded


@pytest.fixture(scope="session")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Served"]:
    """A server that needs no keys."""
    from tests.unit.registry.served import served

    with served(tmp_path_factory.mktemp("served"), keys_required=False) as running:
        yield running


@pytest.fixture(params=["embedded", "remote"])
def either(request: pytest.FixtureRequest, embedded: EmbeddedRegistry) -> Iterator[Registry]:
    """The registry itself, and the same through a server: a module that calls this ``registry`` tests both."""
    if request.param == "embedded":
        yield embedded
        return
    from registry.remote.registry import RemoteRegistry

    server: Served = request.getfixturevalue("open_server")
    server.put(embedded)
    remote = RemoteRegistry(server.url)
    yield remote
    remote.close()


@pytest.fixture
def make_adapter(tmp_path: Path) -> MakeAdapter:
    """Makes a PEFT folder; ``seed`` changes its weights, ``config`` and ``tensors`` overrule parts of it."""

    def make(
        seed: int = 0,
        config: dict[str, Any] | None = None,
        tensors: dict[str, np.ndarray | None] | None = None,
        record: dict[str, Any] | None = None,
    ) -> Path:
        folder = tmp_path / f"run-{len(list(tmp_path.glob('run-*')))}"
        folder.mkdir()
        document = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["q_proj", "v_proj"]}
        (folder / "adapter_config.json").write_text(json.dumps(document | (config or {})))
        weights: dict[str, np.ndarray | None] = {**weights_of(seed), **(tensors or {})}
        save_file({name: value for name, value in weights.items() if value is not None}, weights_file(folder))
        if record is not None:
            (folder / "record.json").write_text(json.dumps(record))
        return folder

    return make


def weights_file(folder: Path) -> Path:
    return folder / "adapter_model.safetensors"


def tensor(module: str, half: str) -> str:
    return f"base_model.model.{module}.lora_{half}.weight"


def weights_of(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    weights = {}
    for module, (out, into) in MODULES.items():
        weights[tensor(module, "A")] = random.standard_normal((RANK, into)).astype(np.float32)
        weights[tensor(module, "B")] = random.standard_normal((out, RANK)).astype(np.float32)
    return weights
