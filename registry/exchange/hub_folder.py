"""Folders in the Hub's layout: plain, a snapshot of links, or a repository in the Hub's cache."""

import json
import shutil
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

from registry.canonical import CHUNK
from registry.errors import InvalidAdapter, NotFound
from registry.exchange.arrival import Arrival
from registry.optional import require
from registry.refs import shown
from registry.run_folder import KEPT, RECORD

CARD = "README.md"
PACKAGES = {"huggingface_hub": "huggingface-hub"}
MAX_TEXT = 200
MAX_ITEMS = 20


def arrive(folder: Path, target: Path, *, source: str = "", revision: str = "") -> Arrival:
    """Copy what a push takes out of a folder in the Hub's layout.

    Args:
        folder: plain, ``models--org--name/snapshots/<commit>``, or ``models--org--name``.
        target: empty folder that takes the copies.
        source: what to call it; by default the folder.
        revision: of the source; by default the snapshot's commit.

    Raises:
        NotFound: there is no such folder.
        InvalidAdapter: a link leads out of the repository, or a file is too large.
        MissingPackage: as ``claims_of``.
    """
    if not folder.is_dir():
        raise NotFound(
            f"{shown(str(folder), MAX_TEXT)[1:-1]} is not a folder.", "Name a folder, hf:ORG/NAME or oci://…"
        )
    snapshot = _snapshot(folder)
    cached = snapshot.parent.name == "snapshots"
    root = (snapshot.parents[1] if cached else snapshot).resolve()
    for name, limit in KEPT.items():
        if (snapshot / name).exists():
            _copy((snapshot / name).resolve(), root, target / name, limit)
    if cached and not source:
        source = "hf:" + root.name.removeprefix("models--").replace("--", "/", 1)
    revision = revision or (snapshot.name if cached else "")
    return claims_of(target, source=source or folder.resolve().name, revision=revision)


def claims_of(folder: Path, *, source: str, revision: str = "") -> Arrival:
    """What the card and PEFT's configuration in ``folder`` say of the adapter; whether they are right is not asked.

    Where there is a record, it says more than a card, which is not read then.

    Raises:
        MissingPackage: the extra ``hub`` reads cards; without it the same folder would become another version.
    """
    card = {} if (folder / RECORD).is_file() else card_metadata(folder / CARD)
    return Arrival(
        folder=folder,
        source=source,
        revision=revision,
        base_models=tuple(dict.fromkeys((*texts(card.get("base_model")), *_configured_base(folder)))),
        license=next(iter(texts(card.get("license"))), ""),
        datasets=texts(card.get("datasets")),
    )


def _snapshot(folder: Path) -> Path:
    main = folder / "refs" / "main"
    if not (folder / "snapshots").is_dir():
        return folder
    commits = sorted(path.name for path in (folder / "snapshots").iterdir() if path.is_dir())
    named = main.read_text(encoding="utf-8").strip() if main.is_file() else ""
    if named not in commits and len(commits) != 1:
        raise InvalidAdapter(f"{folder.name} holds {len(commits)} snapshots.", "Name one: its folder under snapshots/.")
    return folder / "snapshots" / (named if named in commits else commits[0])


def _copy(file: Path, root: Path, target: Path, limit: int) -> None:
    if not file.is_relative_to(root):
        raise InvalidAdapter(f"{target.name} is a link that leads out of {root.name}.", "Copy the file itself there.")
    if not file.is_file() or file.stat().st_size > limit:
        raise InvalidAdapter(f"{target.name} is no file of at most {limit} bytes.")
    with file.open("rb") as reader, target.open("wb") as writer:
        shutil.copyfileobj(reader, writer, CHUNK)


def card_metadata(file: Path) -> dict[str, Any]:
    """The card's metadata; empty where there is none, or it is broken: admission does not depend on it.

    Raises:
        MissingPackage: there is some, and nothing to read it with.
    """
    if not file.is_file() or not file.read_bytes().removeprefix(BOM_UTF8).lstrip().startswith(b"---"):
        return {}
    require("hub", PACKAGES)
    import yaml  # type: ignore[import-untyped]
    from huggingface_hub import metadata_load

    try:
        return metadata_load(file) or {}
    except (ValueError, RecursionError, yaml.YAMLError):
        return {}


def _configured_base(folder: Path) -> tuple[str, ...]:
    try:
        document = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return ()  # admission says what is wrong with it
    return texts(document.get("base_model_name_or_path")) if isinstance(document, dict) else ()


def texts(value: Any) -> tuple[str, ...]:
    """The short texts of a value that should be one, or a list of them."""
    values = value if isinstance(value, list) else [value]
    return tuple(text for text in values[:MAX_ITEMS] if isinstance(text, str) and 0 < len(text) <= MAX_TEXT)
