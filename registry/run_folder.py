"""A run folder, or any folder in PEFT's layout: which of its files become a version, and what it says of itself."""

import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.canonical import canonical_json
from registry.errors import InvalidAdapter
from registry.files import FileEntry
from registry.refs import shown
from registry.strict_json import AGAIN, read_object_file

WEIGHTS = "adapter_model.safetensors"
RECORD = "record.json"
MAX_RECORD = 1 << 20

MIB = 1 << 20
KEPT = {
    "adapter_config.json": MIB,
    WEIGHTS: 64 << 30,
    RECORD: MAX_RECORD,
    "recipe.toml": MIB,
    "metrics.jsonl": 256 * MIB,
    "loss.png": 16 * MIB,
    "README.md": 4 * MIB,
}
"""Only these are pushed: what engines and people need, nothing that can run code. Name -> most bytes."""

PNG = b"\x89PNG\r\n\x1a\n"


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
        InvalidAdapter: the folder is missing, or one of the files is a link, a device, too large, or not what its name
            says.
    """
    if not folder.is_dir():
        raise InvalidAdapter(
            f"{shown(str(folder), 200)[1:-1]} is not a folder.", "Give the folder that the trainer wrote, as runs/x."
        )
    kept = []
    for name, limit in KEPT.items():
        file = folder / name
        prove_regular(file)
        if file.is_file():
            _prove_content(file, limit)
            kept.append(name)
    return kept


def prove_only_kept(folder: Path, entries: Sequence[FileEntry]) -> None:
    """Prove that ``entries`` are what a push of ``folder`` takes, so that a client cannot send anything else.

    Raises:
        InvalidAdapter: they are not; or as ``kept_files``.
    """
    names = [entry.path for entry in entries]
    strange = [name for name in names if name not in KEPT]
    if strange:
        raise InvalidAdapter(
            f"{shown(strange[0])} is no file that a version has.", f"Those are {', '.join(KEPT)} and nothing else."
        )
    if sorted(names) != sorted(kept_files(folder)):
        raise InvalidAdapter("The files are not those that were announced.", "Push again.")


def prove_regular(file: Path) -> None:
    """Prove that there is a regular file, or nothing: reading a pipe would wait for ever, a link leads anywhere.

    Raises:
        InvalidAdapter: there is something else.
    """
    try:
        mode = file.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISLNK(mode):
        raise InvalidAdapter(f"{file.name} is a link; a file was expected.", "Copy what it names: cp -rL FOLDER NEW.")
    if not stat.S_ISREG(mode):
        kind = "folder" if stat.S_ISDIR(mode) else "pipe, socket or device"
        raise InvalidAdapter(f"{file.name} is a {kind}; a file was expected.", "Remove it, or save the adapter again.")


def _prove_content(file: Path, limit: int) -> None:
    """Prove size and kind: nothing binary goes under the name of a text, so that no pickle does."""
    if file.stat().st_size > limit:
        raise InvalidAdapter(f"{file.name} has {file.stat().st_size} bytes; {limit} are the limit.", AGAIN)
    if file.name == WEIGHTS:
        return  # admission looks at every byte of it
    with file.open("rb") as stream:
        begin = stream.read(4096)
    if file.name.endswith(".png"):
        if not begin.startswith(PNG):
            raise InvalidAdapter(f"{file.name} is no PNG picture.", "Remove it, or plot it again.")
    elif b"\x00" in begin or begin[:1] == b"\x80":
        raise InvalidAdapter(f"{file.name} is no text (a renamed pickle?).", "Remove it, or write it again.")


def read_record(folder: Path) -> Record:
    """Read ``record.json``, if there is one.

    Raises:
        InvalidAdapter: it is broken.
    """
    file = folder / RECORD
    prove_regular(file)
    if not file.is_file():
        return Record()
    document = read_object_file(file, MAX_RECORD)
    base = document.get("base")
    parts = {key: document.get(key) for key in ("recipe", "data", "metrics", "code")}
    if not (isinstance(base, dict) and isinstance(base.get("name"), str) and _is_digest(base.get("fingerprint"))):
        raise InvalidAdapter(f"{RECORD} does not name its base as the trainer does.", "Push the folder of the run.")
    for key, part in parts.items():
        if not isinstance(part, dict):
            raise InvalidAdapter(
                f"{RECORD} has no object {key}, as the trainer writes it.", "Push the folder of the run."
            )
    canonical_json(document)  # it becomes part of the manifest, whose digest needs this to work
    return Record(base_name=base["name"], base_fingerprint=base["fingerprint"], **parts)  # type: ignore[arg-type]


def _is_digest(text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch(r"sha256:[0-9a-f]{64}", text, re.ASCII) is not None
