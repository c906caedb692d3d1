"""Adapters that are no adapters: each kind is a good one with one thing wrong."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.unit.registry.conftest import MODULES, tensor, weights_file

Spoil = Callable[[Path], None]
FIRST = next(iter(MODULES))
A, B = tensor(FIRST, "A"), tensor(FIRST, "B")


def config_file(folder: Path) -> Path:
    return folder / "adapter_config.json"


def config(**changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        document = json.loads(config_file(folder).read_text())
        config_file(folder).write_text(json.dumps(document | changes))

    return spoil


def config_text(old: str, new: str) -> Spoil:
    def spoil(folder: Path) -> None:
        text = config_file(folder).read_text()
        assert old in text
        config_file(folder).write_bytes(text.replace(old, new).encode("utf-8", "surrogatepass"))

    return spoil


def tensors(change: Callable[[dict[str, np.ndarray]], Any]) -> Spoil:
    def spoil(folder: Path) -> None:
        weights = {name: value.copy() for name, value in load_file(weights_file(folder)).items()}
        change(weights)
        save_file(weights, weights_file(folder))

    return spoil


def rename(pattern: str, by: str) -> Spoil:
    def change(weights: dict[str, np.ndarray]) -> None:
        for name in list(weights):
            weights[name.replace(pattern, by)] = weights.pop(name)

    return tensors(change)


def header(change: Callable[[dict[str, Any]], Any]) -> Spoil:
    def spoil(folder: Path) -> None:
        content = weights_file(folder).read_bytes()
        length = int.from_bytes(content[:8], "little")
        document = json.loads(content[8 : 8 + length])
        changed = change(document)
        raw = changed if isinstance(changed, bytes) else json.dumps(document).encode()
        weights_file(folder).write_bytes(len(raw).to_bytes(8, "little") + raw + content[8 + length :])

    return spoil


def content(raw: bytes) -> Spoil:
    return lambda folder: void(weights_file(folder).write_bytes(raw))


def record(raw: str) -> Spoil:
    return lambda folder: void((folder / "record.json").write_text(raw))


def claims_header_of(length: int, size: int) -> Spoil:
    """A sparse file that claims a header of ``length`` bytes and has ``size``."""

    def spoil(folder: Path) -> None:
        weights_file(folder).write_bytes(length.to_bytes(8, "little") + b'{"a":')
        os.truncate(weights_file(folder), size)

    return spoil


def full_header(raw: bytes) -> Spoil:
    return content(len(raw).to_bytes(8, "little") + raw)


def instead(make: Callable[[Path], Any], name: str = "adapter_model.safetensors") -> Spoil:
    def spoil(folder: Path) -> None:
        file = folder / name
        file.unlink(missing_ok=True)
        make(file)

    return spoil


def link_outside(file: Path) -> None:
    file.symlink_to("/etc/hostname")


def a_socket(file: Path) -> None:
    here = Path.cwd()
    os.chdir(file.parent)  # a socket's name may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(file.name)
    finally:
        os.chdir(here)


def terabyte(file: Path) -> None:
    file.touch()
    os.truncate(file, 1 << 40)


def filled(half: str, value: float) -> Spoil:
    return tensors(lambda weights: [weights[name].__setitem__(..., value) for name in weights if half in name])


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def void(_: object) -> None:
    """Nothing."""


RECORD = '{"base": {"name": "tiny", "fingerprint": "%s"}, "recipe": %s, "data": {}, "metrics": {}, "code": {}}'
FINGERPRINT = "sha256:" + "0" * 64
BOMB = 1 << 18  # what a header may have at least

KINDS: dict[str, Spoil] = {
    # the folder
    "no config": instead(void, "adapter_config.json"),
    "no weights": instead(void),
    "a pickle": lambda folder: void(weights_file(folder).rename(folder / "adapter_model.bin")),
    "a renamed zip pickle": content(b"PK\x03\x04" + bytes(400)),
    "a renamed pickle": content(b"\x80\x04\x95" + bytes(400)),
    "a renamed GGUF": content(b"GGUF" + bytes(400)),
    "a Git LFS pointer": content(b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64),
    "a pickle as README": instead(lambda file: file.write_bytes(b"\x80\x04\x95" + bytes(40)), "README.md"),
    "a script as picture": instead(lambda file: file.write_text("#!/bin/sh"), "loss.png"),
    "a link out of the folder": instead(link_outside),
    "a link to a device": instead(lambda file: file.symlink_to("/dev/zero")),
    "a dangling link": instead(lambda file: file.symlink_to("nowhere")),
    "a linked config": instead(link_outside, "adapter_config.json"),
    "a linked record": instead(link_outside, "record.json"),
    "a pipe": instead(os.mkfifo),
    "a pipe as config": instead(os.mkfifo, "adapter_config.json"),
    "a pipe as README": instead(os.mkfifo, "README.md"),
    "a socket": instead(a_socket),
    "a folder": instead(Path.mkdir),
    # its configuration
    "config is empty": lambda folder: void(config_file(folder).write_bytes(b"")),
    "config is a list": lambda folder: void(config_file(folder).write_text("[]")),
    "config is not UTF-8": lambda folder: void(config_file(folder).write_bytes(b'{"r": "\xff"}')),
    "config is huge": lambda folder: os.truncate(config_file(folder), 1 << 40),
    "config is deep": config_text('"r": 2', '"r": 2, "x": ' + deep(100_000)),
    "config is deeper than is copied": config_text('"r": 2', '"r": 2, "x": ' + deep(90)),
    "the same key twice": config_text('"r": 2', '"r": 2, "r": 2'),
    "the same key twice inside": config_text('"r": 2', '"r": 2, "auto_mapping": {"a": 1, "a": 1}'),
    "a rank of 5,000 digits": config_text('"r": 2', '"r": ' + "9" * 5000),
    "a rank of 2^63": config(r=2**63),
    "a rank below zero": config(r=-2),
    "a rank that no engine has": config(r=513),
    "a rank in exponents": config_text('"r": 2', '"r": 2e0'),
    "an infinite alpha": config_text('"lora_alpha": 2', '"lora_alpha": 1e999'),
    "an alpha that is none": config_text('"lora_alpha": 2', '"lora_alpha": NaN'),
    "an alpha of 4,000 digits": config_text('"lora_alpha": 2', '"lora_alpha": ' + "9" * 4000),
    "half a character": config_text('"q_proj"', '"q_proj", "\\ud800"'),
    "a path as target": config(target_modules=["../../etc/passwd"]),
    "targets that are numbers": config(target_modules=[1]),
    "an endless pattern": config(target_modules="(a+)+$" * 10_000),
    "layers that are texts": config(layers_to_transform=["0"]),
    "another method": config(peft_type="IA3"),
    "DoRA": config(use_dora=True),
    "PiSSA": config(init_lora_weights="pissa_niter_4"),
    "KaSA": config(kasa_config={"beta": 1}),
    "an alpha for each layer": config(alpha_pattern={"q_proj": 4}),
    "whole layers": config(modules_to_save=["lm_head"]),
    "an option of the future": config(use_everything=True),
    # the file's header
    "empty": content(b""),
    "seven bytes": content(bytes(7)),
    "a header of 2^63 bytes": claims_header_of(2**63, 4096),
    "a header of 2^64 - 1 bytes": claims_header_of(2**64 - 1, 4096),
    "a header of 101 MB": claims_header_of(101_000_000, 1 << 40),
    "a header above the limit": claims_header_of(BOMB * 2, BOMB * 3),
    "a header bomb of lists": full_header(b'{"a":[' + b"[]," * (BOMB // 3 - 8) + b"[]]}"),
    "a header bomb of objects": full_header(b'{"a":[' + b"{}," * (BOMB // 3 - 8) + b"{}]}"),
    "a header bomb of keys": full_header(b"{" + b",".join(b'"%x":0' % key for key in range(BOMB // 9)) + b"}"),
    "a deep header": full_header(b'{"a":' + b"[" * (BOMB // 2)),
    "a header that is a list": full_header(b"[]"),
    "a header after a space": header(lambda document: b" " + json.dumps(document).encode()),
    "no tensors": full_header(b"{}"),
    "metadata twice": header(lambda d: json.dumps(d).encode()[:-1] + b',"__metadata__":{},"__metadata__":{}}'),
    "a tensor twice": header(lambda d: json.dumps(d).encode()[:-1] + b"," + json.dumps({A: d[A]}).encode()[1:]),
    "metadata that are numbers": header(lambda document: document.update(__metadata__={"a": 1})),
    "half a character in metadata": header(lambda document: document.update(__metadata__={"a": "\ud800"})),
    "offsets of 2^63": header(lambda document: document[A].update(data_offsets=[0, 2**63])),
    "offsets of 5,000 digits": header(lambda d: json.dumps(d).encode().replace(b"[0,", b"[%b," % (b"9" * 5000), 1)),
    "offsets below zero": header(lambda document: document[A].update(data_offsets=[-8, 24])),
    "offsets backwards": header(lambda document: document[A].update(data_offsets=document[A]["data_offsets"][::-1])),
    "offsets that overlap": header(lambda document: document[A].update(document[tensor(list(MODULES)[1], "A")])),
    "a gap": header(lambda document: document.pop(A)),
    "true as an offset": header(lambda document: document[A].update(data_offsets=[False, 32])),
    "a shape of 2^63": header(lambda document: document[A].update(shape=[2**63, 0])),
    "a shape of a million sizes": header(lambda document: document[A].update(shape=[1] * 100_000)),
    "an unknown dtype": header(lambda document: document[A].update(dtype="F4")),
    "no shape": header(lambda document: document[A].pop("shape")),
    "something more": header(lambda document: document[A].update(strides=[1, 1])),
    "truncated": lambda folder: os.truncate(weights_file(folder), weights_file(folder).stat().st_size - 1),
    "too long": lambda folder: os.truncate(weights_file(folder), weights_file(folder).stat().st_size + 1),
    "a terabyte": lambda folder: os.truncate(weights_file(folder), 1 << 40),
    # its tensors
    "a layer of another base": rename("layers.1.", "layers.7."),
    "a layer of the picture class": rename("model.model.layers", "model.model.language_model.layers"),
    "without the prefix": rename("base_model.model.", ""),
    "with the adapter's name": rename(".weight", ".default.weight"),
    "compiled": rename("model.model.", "model._orig_mod.model."),
    "a path as layer": rename("q_proj", "../q_proj"),
    "a line break as layer": rename("q_proj", "q\n_proj"),
    "a layer that is not named": config(target_modules=["q_proj"]),
    "half a layer": tensors(lambda weights: weights.pop(B)),
    "a layer is missing": tensors(lambda weights: (weights.pop(A), weights.pop(B))),
    "a head": tensors(lambda weights: weights.update({"base_model.model.lm_head.weight": weights[A]})),
    "DoRA's magnitude": tensors(lambda w: w.update({A.replace("lora_A.weight", "lora_magnitude_vector"): w[A]})),
    "another shape": tensors(lambda weights: weights.update({A: weights[A][:, :3].copy()})),
    "transposed": tensors(lambda weights: weights.update({A: weights[A].T.copy()})),
    "a tensor without values": tensors(lambda weights: weights.update({A: np.zeros((0, 4), np.float32)})),
    "eight bytes a value": tensors(lambda weights: weights.update({A: weights[A].astype(np.float64)})),
    "whole numbers": tensors(lambda weights: weights.update({A: weights[A].astype(np.int32)})),
    # its values
    "not a number": tensors(lambda weights: weights[B].__setitem__((3, 1), np.nan)),
    "infinity": tensors(lambda weights: weights[A].__setitem__((0, 0), -np.inf)),
    "too large for bf16": tensors(lambda weights: weights[A].__setitem__((0, 0), 3.4e38)),
    "B is zero": filled("lora_B", -0.0),
    "A is zero": filled("lora_A", 0.0),
    "each product is zero": tensors(
        lambda weights: [value.__setitem__(np.s_[:1] if "lora_A" in name else np.s_[:, 1:], 0)
                         for name, value in weights.items()]
    ),
    "ranks that cancel": tensors(
        lambda weights: [value.__setitem__(np.s_[1] if "lora_A" in name else np.s_[:, 1],
                                           value[0] if "lora_A" in name else -value[:, 0])
                         for name, value in weights.items()]
    ),
    "products below every number": tensors(lambda weights: [value.__imul__(1e-30) for value in weights.values()]),
    # its record
    "a record of another base": record(RECORD % (FINGERPRINT, "{}")),
    "a record without a base": record("{}"),
    "a record with a line break as fingerprint": record(RECORD % ("sha256:\\n", "{}")),
    "a record without an end": record(RECORD % (FINGERPRINT, '{"a": 1e999}')),
    "a record that is deep": record(RECORD % (FINGERPRINT, '{"a": ' + deep(900) + "}")),
    "a record with half a character": record(RECORD % (FINGERPRINT, '{"a": "\\udfff"}')),
    "a record with a key twice": record(RECORD % (FINGERPRINT, '{"a": 1, "a": 2}')),
    "a record of a terabyte": instead(terabyte, "record.json"),
}  # fmt: skip
