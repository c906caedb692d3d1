import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from registry.admission import admit
from registry.base_model import BaseModel
from registry.errors import InvalidAdapter
from tests.unit.registry.conftest import MODULES, MakeAdapter, tensor, weights_file

FIRST = next(iter(MODULES))


def test_a_good_adapter_is_admitted(base: BaseModel, make_adapter: MakeAdapter) -> None:
    admitted = admit(make_adapter(), base)
    assert admitted.modules == tuple(sorted(MODULES))
    assert (admitted.lora.rank, admitted.lora.alpha, admitted.lora.target_modules) == (2, 2.0, ("q_proj", "v_proj"))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"peft_type": "IA3"}, "not LORA"),
        ({"use_dora": True}, "DoRA"),
        ({"modules_to_save": ["lm_head"]}, "whole modules"),
        ({"alpha_pattern": {"q_proj": 4}}, "alpha per layer"),
        ({"rank_pattern": {"q_proj": 4}}, "rank per layer"),
        ({"bias": "all"}, "biases"),
        ({"lora_bias": True}, "LoRA bias"),
        ({"init_lora_weights": "pissa"}, "changes the base's weights"),
        ({"r": 0}, "rank is '0'"),
        ({"r": 1024}, "rank is '1024'"),
        ({"r": True}, "rank is 'True'"),
        ({"r": 4}, "rank 4"),
        ({"lora_alpha": 0}, "lora_alpha"),
        ({"lora_alpha": "8"}, "lora_alpha"),
        ({"target_modules": []}, "no layers"),
        ({"target_modules": None}, "no layers"),
    ],
)
def test_a_config_that_cannot_be_served_is_refused(
    config: dict[str, Any], reason: str, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    with pytest.raises(InvalidAdapter, match=reason):
        admit(make_adapter(config=config), base)


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({tensor(FIRST, "A"): None}, "lora_B only"),
        ({tensor(FIRST, "A"): None, tensor(FIRST, "B"): None}, "lacks 1 of the layers"),
        ({tensor("model.layers.9.q_proj", half): np.ones((1, 1), np.float32) for half in "AB"}, "does not have"),
        ({tensor(FIRST, "B"): np.ones((9, 2), np.float32)}, r"shape \[9, 2\]"),
        ({tensor(FIRST, "A"): np.ones((2, 4), np.int32)}, "is I32"),
        ({tensor(FIRST, "A"): np.full((2, 4), np.nan, np.float32)}, "NaN"),
        ({tensor(FIRST, "A"): np.full((2, 4), -np.inf, np.float16)}, "infinity"),
        ({tensor(module, "B"): np.zeros((8, 2), np.float32) for module in MODULES}, "changes nothing"),
        ({tensor(module, "A"): np.full((2, 4), -0.0, np.float32) for module in MODULES}, "changes nothing"),
        ({"base_model.model.lm_head.weight": np.ones((2, 2), np.float32)}, "whole layer"),
        ({f"base_model.model.{FIRST}.lora_A.default.weight": np.ones((2, 2), np.float32)}, "name of PEFT's adapter"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    tensors: dict[str, np.ndarray | None], reason: str, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    with pytest.raises(InvalidAdapter, match=reason):
        admit(make_adapter(tensors=tensors), base)


def header(document: object, data: bytes = b"") -> bytes:
    text = document if isinstance(document, str) else json.dumps(document)
    return len(text.encode()).to_bytes(8, "little") + text.encode() + data


def entry(dtype: str = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "truncated"),
        (b"\x01\x02", "truncated"),
        ((2**63).to_bytes(8, "little"), "truncated"),
        (header("{"), "not JSON"),
        (header("[]"), "does not begin with an object"),
        (header('{{"a": {0}, "a": {0}}}'.format(json.dumps(entry())), b"1234"), "twice"),
        (header('{"a":' + "[" * 100_000), "nested too deep"),
        (header({}), "no tensors"),
        (header({"a": entry()}, b"123"), "truncated"),
        (header({"a": entry()}, b"12345"), "too long"),
        (header({"a": entry(offsets=(4, 8))}, b"12345678"), "gap"),
        (header({"a": entry(), "b": entry()}, b"1234"), "overlap"),
        (header({"a": entry(offsets=(0, 2**63))}, b"1234"), "possible sizes"),
        (header({"a": entry(shape=(2**31, 2**31))}, b"1234"), "not what its shape needs"),
        (header({"a": entry(shape=(-1,))}, b"1234"), "no tensor"),
        (header({"a": entry(shape=(True,))}, b"1234"), "no tensor"),
        (header({"a": entry(dtype="F8")}, b"1234"), "no tensor"),
        (header({"a": entry(offsets=(0,))}, b"1234"), "no tensor"),
        (header({"a": 1}), "no tensor"),
    ],
)
def test_a_broken_file_is_refused(content: bytes, reason: str, base: BaseModel, make_adapter: MakeAdapter) -> None:
    folder = make_adapter()
    weights_file(folder).write_bytes(content)
    with pytest.raises(InvalidAdapter, match=reason):
        admit(folder, base)


def test_pickles_and_other_folders_are_refused(base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    with pytest.raises(InvalidAdapter, match="has no adapter_config"):
        admit(tmp_path, base)
    folder = make_adapter()
    weights_file(folder).rename(folder / "adapter_model.bin")
    with pytest.raises(InvalidAdapter, match="pickle"):
        admit(folder, base)
    (folder / "adapter_config.json").write_text('{"r": 1, "r": 2}')
    with pytest.raises(InvalidAdapter, match="twice"):
        admit(folder, base)
