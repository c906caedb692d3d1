"""The registry, measured side by side in one run with what the disk allows and with two peers.

python bench/registry.py [--quick] [--json FILE]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

if not __package__:  # started as a file: in its folder it would hide the package registry itself
    sys.path[0] = str(Path(__file__).resolve().parents[1])

ROOT = Path(__file__).resolve().parents[1]
MLFLOW = ROOT / "bench" / ".venv-mlflow" / "bin" / "python"
GOALS = {
    "push_ratio": (">=", 0.8),
    "pull_ratio": (">=", 0.8),
    "many_push_ratio": (">=", 0.8),
    "many_pull_ratio": (">=", 0.8),
    "warm_pull_ms": ("<=", 50.0),
    "list_ms": ("<=", 20.0),
    "list_all_ms": None,
    "resolve_ms": ("<=", 20.0),
    "floor_mb_per_s": None,
    "mlflow_push_ratio": None,
    "mlflow_pull_ratio": None,
    "mlflow_list_ms": None,
    "mlflow_resolve_ms": None,
    "hub_copy_ratio": None,
    "hub_warm_ms": None,
}
"""Figure -> what it has to be; None for what is only compared with. Ratios are speeds, the floor's is 1."""


def measure(work: Path, *, quick: bool) -> dict[str, float]:
    """Every figure; ``work`` takes 20 GB, 2 GB with ``quick``."""
    from bench import hub_cache, large_adapter, registry_disk, registry_rows
    from registry.embedded.registry import EmbeddedRegistry
    from registry.run_folder import WEIGHTS

    rounds, many, versions = (3, 10, 1000) if quick else (9, 100, 10_000)
    folder = large_adapter.write(work / "adapter", 3 if quick else large_adapter.RANK)
    registry = EmbeddedRegistry(work / "registry")
    one = registry_disk.push_and_pull(registry, folder, work, rounds, "One adapter")
    warm = registry_disk.warm_pulls(registry, work)
    all_of_them = registry_disk.push_and_pull(registry, folder, work, many, "Many adapters", first=rounds)
    registry.close()
    size = (folder / WEIGHTS).stat().st_size
    figures = {
        "push_ratio": one.ratio("push"),
        "pull_ratio": one.ratio("pull"),
        "many_push_ratio": sum(all_of_them.floor) / sum(all_of_them.push),
        "many_pull_ratio": sum(all_of_them.floor) / sum(all_of_them.pull),
        "warm_pull_ms": warm,
        **registry_rows.measure(work / "rows", versions),
        "floor_mb_per_s": size / registry_disk.middle(one.floor) / 1e6,
        **hub_cache.measure(folder, work, rounds),
    }
    return figures | mlflow(folder, work, rounds, versions)


def mlflow(source: Path, work: Path, rounds: int, versions: int) -> dict[str, float]:
    """MLflow's figures; none where its environment was not made."""
    if not MLFLOW.is_file():
        print("MLflow is not measured: make bench-peers installs it.", file=sys.stderr)
        return {}
    (work / "mlflow").mkdir()
    quiet = {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    command = [
        str(MLFLOW),
        "-m",
        "bench.mlflow_registry",
        str(source),
        str(work / "mlflow"),
        str(rounds),
        str(versions),
    ]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"MLflow is not measured: {done.stderr[-2000:]}", file=sys.stderr)
        return {}
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Print a table, and write the figures with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the bytes and of the versions")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures")
    options = parser.parse_args()
    from bench.table import show

    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-registry-", dir=build) as work:
        figures = measure(Path(work), quick=options.quick)
    show(figures, GOALS)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
