"""What is no adapter is refused with one line, in bounded memory, and leaves nothing."""

import json
import random
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError, safe_open

from registry.admission import admit, prove_base
from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import AdaptoryError, InvalidAdapter
from registry.run_folder import KEPT, kept_files, read_record
from registry.store import Registry
from tests.integration.registry.malformed import KINDS, config_file
from tests.unit.registry.conftest import MODULES, MakeAdapter, tensor, weights_file

MUTATIONS = 2000
MEMORY = 16 << 20
"""Bytes; a header that is read at all has 256 KiB for this base, and pieces of values 1 MiB."""


def telling(error: AdaptoryError) -> bool:
    """One line that says what is wrong, and one thing to do."""
    return (
        error.message.isprintable() and error.hint.isprintable() and 20 < len(error.message) < 400 and error.hint != ""
    )


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Any:
    registry = EmbeddedRegistry(tmp_path_factory.mktemp("malformed") / "registry")
    yield registry
    registry.close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_refused_and_leaves_nothing(
    kind: str, opened: Registry, base: BaseModel, make_adapter: MakeAdapter, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = make_adapter()
    KINDS[kind](folder)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidAdapter) as refusal:
            opened.versions.push(folder, "support", actor="ada", base=base)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert telling(refusal.value), (refusal.value.message, refusal.value.hint)
    assert not opened.versions.list()
    blobs = next(tmp_path_factory.getbasetemp().glob("malformed*")) / "registry" / "blobs"
    assert not [file for file in blobs.rglob("*") if file.is_file()]


def test_mutated_adapters_are_refused_or_harmless(base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    good = make_adapter()
    files = {name: (good / name).read_bytes() for name in kept_files(good)}
    original = loaded(good)
    folder = tmp_path / "mutated"
    refused = 0
    for seed in range(MUTATIONS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name, content in mutated(files, random.Random(seed)).items():  # noqa: S311 - seeded, so that it repeats
            (folder / name).write_bytes(content)
        try:
            assert set(kept_files(folder)) <= KEPT.keys()
            prove_base(read_record(folder), base)
            admit(folder, base)
        except InvalidAdapter as error:
            assert telling(error), (seed, error.message, error.hint)
            refused += 1
        else:
            assert_harmless(folder, files, original, seed)
    assert refused > MUTATIONS // 2


def assert_harmless(folder: Path, files: dict[str, bytes], original: dict[str, np.ndarray], seed: int) -> None:
    """What was admitted is read alike by the library that engines use; only values may differ, and they are numbers."""
    try:
        weights = loaded(folder)
    except SafetensorError as error:  # pragma: no cover - the message tells which
        raise AssertionError(f"seed {seed}: admitted, but engines cannot read it: {error}") from error
    assert {name: value.shape for name, value in weights.items()} == {
        name: value.shape for name, value in original.items()
    }, seed
    assert all(np.isfinite(value.astype(np.float64)).all() for value in weights.values()), seed
    config, before = (json.loads(raw) for raw in (config_file(folder).read_bytes(), files["adapter_config.json"]))
    for key in ("peft_type", "r"):
        assert config[key] == before[key], seed
    if weights_file(folder).read_bytes() == files["adapter_model.safetensors"]:
        assert all((weights[name] == value).all() for name, value in original.items()), seed


def loaded(folder: Path) -> dict[str, np.ndarray]:
    with safe_open(weights_file(folder), framework="np") as stream:
        return {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118 - it is no dict


def mutated(files: dict[str, bytes], chance: random.Random) -> dict[str, bytes]:
    """A copy with one to three things changed: bytes, the JSON of either file, or the files themselves."""
    changed = dict(files)
    for _ in range(chance.randint(1, 3)):
        name = chance.choice(list(changed))
        how = chance.choice((bytes_changed, bytes_changed, json_changed, json_changed, json_changed, file_changed))
        changed = how(changed, name, chance)
    return changed


def bytes_changed(files: dict[str, bytes], name: str, chance: random.Random) -> dict[str, bytes]:
    content = bytearray(files[name])
    place = chance.randrange(len(content) + 1)
    match chance.randrange(5):
        case 0 if place < len(content):
            content[place] ^= 1 << chance.randrange(8)
        case 1:
            content[place:place] = chance.randbytes(chance.randint(1, 9))
        case 2:
            del content[place : place + chance.randint(1, 40)]
        case 3:
            del content[place:]
        case _:
            content[place:place] = content[: chance.randint(1, 60)]
    return files | {name: bytes(content)}


STRANGE = tensor("model.layers.9.q_proj", "A")
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 2**31, 2**63, 2**64, 10**30, 1.5, 2.0, 1e308, float("nan"), float("inf"), "",
    "F32", "BF16", "\ud800", "../x", "q_proj", [], [0], [0, 32], [2, 4], [[]], {}, {"a": 1}, "x" * 3000,
)  # fmt: skip


def json_changed(files: dict[str, bytes], name: str, chance: random.Random) -> dict[str, bytes]:
    content, start, length = files[name], 0, len(files[name])
    if name == "adapter_model.safetensors":
        start, length = 8, int.from_bytes(content[:8], "little")
    try:
        document = json.loads(content[start : start + length])
    except (ValueError, RecursionError):
        return bytes_changed(files, name, chance)
    if not isinstance(document, dict) or not document:
        return bytes_changed(files, name, chance)
    place = document
    while (inner := [value for value in place.values() if isinstance(value, dict) and value]) and chance.random() < 0.7:
        place = chance.choice(inner)
    key = chance.choice(list(place))
    match chance.randrange(4):
        case 0:
            del place[key]
        case 1:
            place[chance.choice((key + "x", "use_dora", "__metadata__", tensor("model.layers.9.q_proj", "A")))] = place[
                key
            ]
        case 2 if isinstance(place[key], list) and place[key]:
            place[key][chance.randrange(len(place[key]))] = chance.choice(ODD)
        case _:
            place[key] = chance.choice(ODD)
    raw = json.dumps(document).encode()
    if start:
        raw = len(raw).to_bytes(8, "little") + raw + content[8 + length :]
    return files | {name: raw}


def file_changed(files: dict[str, bytes], name: str, chance: random.Random) -> dict[str, bytes]:
    match chance.randrange(4):
        case 0:
            return {other: content for other, content in files.items() if other != name} or files
        case 1:
            return files | {"record.json": files[name]}
        case 2:
            return files | {"README.md": files[name]}
        case _:
            return files | {chance.choice(list(files)): files[name]}


def test_names_that_people_trained_are_known(base: BaseModel, make_adapter: MakeAdapter) -> None:
    """Unsloth writes a pattern for picture models, PEFT a list of layers; both are admitted when the tensors fit."""
    pattern = r"(?:.*?(?:language|text).*?(?:self_attn|mlp).*?(?:q_proj|v_proj))|(?:\bmodel\.layers\.[\d]{1,}\..*)"
    assert len(admit(make_adapter(config={"target_modules": pattern}), base).modules) == len(MODULES)
    first = {tensor(f"model.layers.1.{name}", half): None for name in ("q_proj", "v_proj") for half in "AB"}
    assert len(admit(make_adapter(config={"layers_to_transform": [0]}, tensors=first), base).modules) == 2
    assert (
        len(
            admit(
                make_adapter(config={"layers_to_transform": 0, "layers_pattern": "layers"}, tensors=first), base
            ).modules
        )
        == 2
    )
    renamed = make_adapter()
    KINDS["a layer of the picture class"](renamed)
    with pytest.raises(InvalidAdapter, match=r"there it is model\.layers"):
        admit(renamed, base)
