"""A push that is killed, or raced by others, leaves no version or a whole one."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from registry.base_model import BaseModel
from registry.store import Registry
from tests.unit.registry.conftest import MakeAdapter


def push(registry: Path, folder: Path, base: BaseModel) -> int:
    return Registry(registry).versions.push(folder, "support", actor="ada", base=base).version.number


def test_numbers_have_no_gap_and_no_twin_when_processes_race(
    tmp_path: Path, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    folders = [make_adapter(seed) for seed in range(24)]
    with ProcessPoolExecutor(4, mp_context=multiprocessing.get_context("spawn")) as pool:
        numbers = list(pool.map(push, [tmp_path / "registry"] * 24, folders, [base] * 24))
    assert sorted(numbers) == list(range(1, 25))


KILLED_PUSH = """
import sys, json
from pathlib import Path
from registry.base_model import BaseModel
from registry.store import Registry
registry, folder, base = sys.argv[1:]
opened = Registry(Path(registry))
print("ready", flush=True)
opened.versions.push(Path(folder), "support", actor="ada", base=BaseModel.from_json(json.loads(base)))
"""


def test_a_killed_push_leaves_no_version_or_a_whole_one(
    tmp_path: Path, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    import json

    registry = Registry(tmp_path / "registry")
    for seed, delay in enumerate((0.0, 0.002, 0.005, 0.01, 0.02)):
        command = [sys.executable, "-c", KILLED_PUSH, str(tmp_path / "registry"), str(make_adapter(seed))]
        with subprocess.Popen([*command, json.dumps(base.to_json())], stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            time.sleep(delay)
            os.kill(process.pid, signal.SIGKILL)
    registry.versions.push(make_adapter(99), "support", actor="ada", base=base)
    versions = registry.versions.list("support")
    assert [version.number for version in versions] == list(range(1, len(versions) + 1))
    for version in versions:
        registry.versions.pull(version, tmp_path / f"out-{version.number}")
    assert not list((tmp_path / "registry" / "blobs" / "staging").iterdir())
