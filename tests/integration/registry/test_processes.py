"""Pushes that race; those that are killed are in test_registry_crash.py."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from tests.unit.registry.conftest import MakeAdapter


def push(registry: Path, folder: Path, base: BaseModel) -> int:
    return EmbeddedRegistry(registry).versions.push(folder, "support", actor="ada", base=base).version.number


def test_numbers_have_no_gap_and_no_twin_when_processes_race(
    tmp_path: Path, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    folders = [make_adapter(seed) for seed in range(24)]
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        numbers = list(pool.map(push, [tmp_path / "registry"] * 24, folders, [base] * 24))
    assert sorted(numbers) == list(range(1, 25))
