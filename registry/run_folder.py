"""A run folder, or any folder in PEFT's layout: which of its files become a version, and what it says of itself."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.admission import WEIGHTS
from registry.errors import InvalidAdapter

RECORD = "record.json"
MAX_RECORD = 16 << 20

KEPT = ("adapter_config.json", WEIGHTS, RECORD, "recipe.toml", "metrics.jsonl", "loss.png", "README.md")
"""Only these are pushed: what engines and people need, nothing that can run code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the trainer wrote of a run (``record.json``); empty where another tool trained it.

    Attributes:
        base_name: the base's name.
        base_fingerprint: the base's fingerprint, or ``""``.
        recipe: the resolved recipe.
        data: digest and sizes of the data.
        metrics: what was measured.
        code: commit and package versions.
    """

    base_name: str = ""
    base_fingerprint: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)


def kept_files(folder: Path) -> list[str]:
    """Names of the files that a push takes.

    Raises:
        InvalidAdapter: the folder is missing, or one of the files is a link.
    """
    if not folder.is_dir():
        raise InvalidAdapter(f"{folder} is not a folder.", "Give the folder that the trainer wrote, such as runs/x.")
    for name in KEPT:
        if (folder / name).is_symlink():
            raise InvalidAdapter(f"{folder / name} is a link; a file was expected.")
    return [name for name in KEPT if (folder / name).is_file()]


def read_record(folder: Path) -> Record:
    """Read ``record.json``, if there is one.

    Raises:
        InvalidAdapter: it is broken.
    """
    file = folder / RECORD
    if not file.is_file():
        return Record()
    if file.stat().st_size > MAX_RECORD:
        raise InvalidAdapter(f"{RECORD} is larger than {MAX_RECORD} bytes.")
    try:
        document = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_constant)
        base = document["base"]
        return Record(
            base_name=str(base["name"]),
            base_fingerprint=str(base["fingerprint"]),
            **{key: dict(document[key]) for key in ("recipe", "data", "metrics", "code")},
        )
    except (UnicodeDecodeError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidAdapter(f"{RECORD} is not what the trainer writes ({type(error).__name__}).") from error


def _no_constant(constant: str) -> float:
    raise ValueError(constant)
