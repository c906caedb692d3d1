"""record.json: what was trained, on what, how well, and with which code."""

import json
import shutil
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

SCHEMA = 1
PACKAGES = ("adaptory", "torch", "transformers", "peft", "trl", "bitsandbytes")


def write_record(
    path: Path,
    *,
    base: dict[str, str],
    recipe: dict[str, Any],
    data: dict[str, Any],
    metrics: dict[str, Any],
    code: dict[str, Any],
) -> None:
    """Write the record that ``registry push`` reads.

    Raises:
        ValueError: a metric is not a finite number.
    """
    document = {
        "schema": SCHEMA,
        "base": base,
        "recipe": recipe,
        "data": data,
        "metrics": metrics,
        "code": code,
    }
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def code_of(folder: Path) -> dict[str, Any]:
    """The commit of the project that the recipe lies in, ``""`` without git, and the versions of what trains."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = ""
    return {"commit": _commit(folder), "versions": versions}


def _commit(folder: Path) -> str:
    git = shutil.which("git")
    if git is None:
        return ""
    answer = subprocess.run(
        (git, "-C", str(folder), "rev-parse", "--verify", "HEAD"), capture_output=True, text=True, check=False
    )
    return answer.stdout.strip() if answer.returncode == 0 else ""
