"""How long ``--help`` takes, beside a Python that does nothing: the median of many runs, taken in turn.

python bench/startup.py [--json FILE]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

RUNS = 15
BIN = Path(sys.executable).parent
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "adaptory --help": [str(BIN / "adaptory"), "--help"],
    "adaptory train --help": [str(BIN / "adaptory"), "train", "--help"],
    "adaptory serve --help": [str(BIN / "adaptory"), "serve", "--help"],
    "registry --help": [str(BIN / "registry"), "--help"],
}


def measure() -> dict[str, float]:
    """Median seconds of each command."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def main() -> None:
    """Print a table, and write the figures with ``--json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    medians = measure()
    nothing = medians["python -c pass"]
    for name, median in medians.items():
        print(f"{name:24} {median * 1000:6.0f} ms   {median / nothing:4.1f} × python")
    if options.json:
        options.json.write_text(json.dumps(medians, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
