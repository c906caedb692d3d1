import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from export.merge import add_delta, merge, scale
from export.weights import BaseWeights
from registry.base_model import BaseModel
from registry.bases import LocalBases
from registry.errors import InvalidAdapter
from registry.manifest import LoraConfig

MakeAdapter = Callable[..., Path]


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rank=st.sampled_from([1, 3, 8, 16]),
    alpha=st.floats(0.5, 64),
    use_rslora=st.booleans(),
    merge_base=st.sampled_from(["nf4", "bf16"]),
    seed=st.integers(0, 9),
)
def test_every_merged_weight_is_the_base_plus_the_scaled_product(
    rank: int,
    alpha: float,
    use_rslora: bool,
    merge_base: str,
    seed: int,
    base: BaseModel,
    bases: LocalBases,
    make_adapter: MakeAdapter,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    adapter = make_adapter(rank=rank, alpha=alpha, seed=seed, use_rslora=use_rslora)
    target = tmp_path_factory.mktemp("merged") / "out"
    weights = bases.folder("tiny") / merge_base

    merge(adapter=adapter, base=base, weights=weights, target=target)

    merged, lora, source = load_file(target / "model.safetensors"), _lora(adapter), BaseWeights(weights)
    factor = alpha / math.sqrt(rank) if use_rslora else alpha / rank
    assert sorted(merged) == sorted(source.names) == sorted(load_file(bases.folder("tiny") / "bf16/model.safetensors"))
    for name, weight in merged.items():
        before, module = source.read(name), name.removesuffix(".weight")
        if module not in base.modules:
            assert torch.equal(weight, before)
            continue
        exact = before.double() + factor * lora[f"{module}.lora_B"].double() @ lora[f"{module}.lora_A"].double()
        assert weight.dtype == torch.bfloat16
        torch.testing.assert_close(weight.double(), exact, rtol=2**-8, atol=1e-6)  # half a step of bf16, rounded once


def test_nf4_is_dequantised_to_what_bitsandbytes_computes_with(bases: LocalBases) -> None:
    from bitsandbytes.functional import dequantize_4bit

    model = AutoModelForCausalLM.from_pretrained(bases.folder("tiny") / "nf4")
    layer = model.model.layers[1].mlp.down_proj.weight
    ours = BaseWeights(bases.folder("tiny") / "nf4").read("model.layers.1.mlp.down_proj.weight")
    assert torch.equal(ours, dequantize_4bit(layer.data, quant_state=layer.quant_state))


def test_the_merged_folder_answers_like_nf4_with_the_adapter(
    base: BaseModel, bases: LocalBases, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    adapter = make_adapter(rank=8, alpha=16.0)
    merge(adapter=adapter, base=base, weights=bases.nf4(base), target=tmp_path / "merged")
    ids = torch.arange(48).reshape(2, 24)

    config = json.loads((tmp_path / "merged/config.json").read_text(encoding="utf-8"))
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype=torch.bfloat16)
    trained = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(bases.nf4(base)), adapter)
    plain = AutoModelForCausalLM.from_pretrained(bases.nf4(base))
    with torch.inference_mode():
        ours, theirs, without = (model(input_ids=ids).logits.float() for model in (merged, trained, plain))

    assert "quantization_config" not in config
    assert (ours - theirs).abs().max() < 0.1 * (without - theirs).abs().max()  # rounding, beside what was learned
    assert (ours.argmax(-1) == theirs.argmax(-1)).float().mean() > 0.9


def test_shards_hold_the_same_weights_and_none_is_over_the_limit(
    base: BaseModel, bases: LocalBases, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    adapter, limit = make_adapter(), 40_000
    done: list[int] = []
    merge(adapter=adapter, base=base, weights=bases.nf4(base), target=tmp_path / "whole", on_bytes=done.append)
    merge(adapter=adapter, base=base, weights=bases.nf4(base), target=tmp_path / "parts", shard_bytes=limit)

    whole = load_file(tmp_path / "whole/model.safetensors")
    index = json.loads((tmp_path / "parts/model.safetensors.index.json").read_text(encoding="utf-8"))
    files = sorted((tmp_path / "parts").glob("*.safetensors"))
    parts = {name: tensor for file in files for name, tensor in load_file(file).items()}
    assert len(files) > 2
    assert all(sum(tensor.nbytes for tensor in load_file(file).values()) <= limit for file in files)
    assert set(index["weight_map"].values()) == {file.name for file in files}
    assert all(torch.equal(parts[name], tensor) for name, tensor in whole.items())
    assert sum(done) == index["metadata"]["total_size"] == 2 * base.parameters
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "parts")
    assert torch.equal(loaded.state_dict()["model.norm.weight"], whole["model.norm.weight"])


@pytest.mark.parametrize("option", ["use_dora", "fan_in_fan_out", "alpha_pattern", "modules_to_save"])
def test_an_adapter_that_is_no_such_sum_is_refused_in_a_sentence(
    option: str, base: BaseModel, bases: LocalBases, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    adapter = make_adapter(**{option: {"q_proj": 4} if option == "alpha_pattern" else True})
    with pytest.raises(InvalidAdapter, match="The adapter"):
        merge(adapter=adapter, base=base, weights=bases.nf4(base), target=tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_scale() -> None:
    assert scale(LoraConfig(rank=16, alpha=32.0, target_modules=())) == 2
    assert scale(LoraConfig(rank=16, alpha=32.0, target_modules=(), use_rslora=True)) == 8


def test_a_small_update_is_not_lost_before_the_rounding() -> None:
    weight = torch.ones(1, 1, dtype=torch.bfloat16)
    step = torch.full((1, 1), 2.0**-5)  # product 2**-10: nothing in bf16 alone, a step together with the factor
    assert add_delta(weight, step, step, 8.0) == 1 + 2**-7


def _lora(adapter: Path) -> dict[str, torch.Tensor]:
    tensors = load_file(adapter / "adapter_model.safetensors")
    return {name.removeprefix("base_model.model.").removesuffix(".weight"): one for name, one in tensors.items()}
