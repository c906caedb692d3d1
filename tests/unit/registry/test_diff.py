"""Two versions side by side: what they were made of, and how far their weights are apart."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.base_model import BaseModel
from registry.diff import differences
from registry.embedded.registry import EmbeddedRegistry
from registry.manifest import LoraConfig
from registry.weight_change import norm, scaling, weight_changes
from tests.unit.registry.conftest import MODULES, RANK, MakeAdapter, tensor, weights_of
from tests.unit.registry.test_replicas import run


def lora(**changes: object) -> LoraConfig:
    fields: dict[str, object] = {"rank": RANK, "alpha": 4.0, "target_modules": ("q_proj",)}
    return LoraConfig(**fields | changes)  # type: ignore[arg-type]


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(0, 1000))
def test_the_norm_is_that_of_the_product(out: int, into: int, rank: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    up, down = random.standard_normal((out, rank)), random.standard_normal((rank, into))
    assert norm(up, down) == pytest.approx(np.linalg.norm(up @ down))


def test_each_layer_is_compared_with_its_scaling(make_adapter: MakeAdapter) -> None:
    first, second = make_adapter(1), make_adapter(2)
    plain, stable = lora(), lora(use_rslora=True)
    assert (scaling(plain), scaling(stable)) == (2.0, 4.0 / math.sqrt(2))
    changes = list(weight_changes(first, plain, second, stable))
    assert [change.module for change in changes] == sorted(MODULES)
    for change in changes:
        left, right = (
            scaling(config) * weights[tensor(change.module, "B")].astype(float) @ weights[tensor(change.module, "A")]
            for config, weights in ((plain, weights_of(1)), (stable, weights_of(2)))
        )
        expected = [np.linalg.norm(left), np.linalg.norm(right), np.linalg.norm(left - right)]
        assert [change.first, change.second, change.difference] == pytest.approx(expected)
    same = weight_changes(first, plain, first, plain)
    assert [change.difference for change in same] == [0.0] * len(MODULES)


def test_nearly_equal_adapters_keep_their_digits(make_adapter: MakeAdapter) -> None:
    """Gram matrices would lose this: the square of the difference is below the rounding of the squares."""
    weights = weights_of(1)
    name = tensor(next(iter(MODULES)), "B")
    moved = weights[name].copy()
    moved[0, 0] = np.nextafter(moved[0, 0], np.float32(9))
    first, second = make_adapter(1), make_adapter(1, tensors={name: moved})
    change = next(iter(weight_changes(first, lora(), second, lora())))
    step = float(moved[0, 0]) - float(weights[name][0, 0])
    expected = 2.0 * step * np.linalg.norm(weights[tensor(next(iter(MODULES)), "A")][0])
    assert change.difference == pytest.approx(expected, rel=1e-6)


def test_the_command_tells_recipe_data_metrics_files_and_weights(
    registry: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    for seed, rate in ((1, 0.1), (2, 0.2)):
        record = {
            "base": {"name": base.name, "fingerprint": base.fingerprint},
            "recipe": {"optimizer": {"lr": rate}, "seed": 1},
            "data": {"digest": f"sha256:{seed}"},
            "metrics": {"loss": rate},
            "code": {"commit": "abc"},
        }
        registry.versions.push(make_adapter(seed, record=record), "support", actor="ada", base=base)
    first, second = registry.versions.list("support")
    found = {(one.part, one.key): (one.first, one.second) for one in differences(first.manifest, second.manifest)}
    assert found["recipe", "optimizer.lr"] == (0.1, 0.2)
    assert found["data", "digest"] == ("sha256:1", "sha256:2")
    assert found["metrics", "loss"] == (0.1, 0.2)
    assert ("files", "adapter_model.safetensors") in found
    assert ("files", "adapter_config.json") not in found
    document = json.loads(run(registry, "diff", "support:1", "support:2", "--json").stdout)
    assert len(document["weights"]) == len(MODULES)
    assert document["total"]["difference"] == pytest.approx(
        math.hypot(*(one["difference"] for one in document["weights"]))
    )
    shown = run(registry, "diff", "support:1", "support:2").stdout
    assert "optimizer.lr" in shown
    assert "apart" in shown
    assert "have the same content" in run(registry, "diff", "support:1", "support:1").stdout
    assert list(differences(first.manifest, first.manifest)) == []
