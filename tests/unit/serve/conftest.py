"""A registry with a tiny base, and adapters for it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from registry.base_model import NF4, BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.store import Registry
from registry.version import AdapterVersion
from tests.unit.serve.gateway_parts import gateway
from tests.unit.serve.release_parts import JSON_ANSWER, Engine, House, says

Push = Callable[..., AdapterVersion]


def tiny_base(name: str = "tiny", parameters: int = 128, context: int = 64) -> BaseModel:
    return BaseModel(
        name=name,
        source="made here",
        revision="1",
        quantization=NF4 if name == "tiny" else name,  # another fingerprint for another name
        architecture="LlamaForCausalLM",
        parameters=parameters,
        context_length=context,
        chat_template_digest="sha256:00",
        modules={"model.layers.0.q_proj": (8, 4)},
        bf16=(),
        nf4=(),
    )


@pytest.fixture
def base() -> BaseModel:
    return tiny_base()


@pytest.fixture
def registry(embedded: EmbeddedRegistry) -> EmbeddedRegistry:
    return embedded


@pytest.fixture
def push(registry: Registry, base: BaseModel, tmp_path: Path) -> Push:
    """Pushes an adapter with new weights each time."""
    random = np.random.default_rng(7)

    def one(name: str, to: BaseModel = base) -> AdapterVersion:
        folder = tmp_path / f"run-{len(list(tmp_path.glob('run-*')))}"
        folder.mkdir()
        config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["q_proj"]}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        module = "base_model.model.model.layers.0.q_proj.lora_"
        weights = {"A": (2, 4), "B": (8, 2)}
        tensors = {f"{module}{half}.weight": random.random(shape, np.float32) for half, shape in weights.items()}
        save_file(tensors, folder / "adapter_model.safetensors")
        return registry.versions.push(folder, name, actor="test", base=to).version

    return one


@pytest.fixture
def house(registry: Registry, base: BaseModel, push: Push, tmp_path: Path) -> Iterator[House]:
    old, new = push("demo"), push("demo")
    registry.aliases.promote(str(old), "live", actor="ada")
    engine = Engine()
    engine.teach(old, says(JSON_ANSWER))
    engine.teach(new, says('{"city":"Springfield"}'))
    with gateway(registry, base, tmp_path, keys=False) as opened:
        yield House(registry, opened, engine, old, new, tmp_path / "e")
