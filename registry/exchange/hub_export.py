"""A version as a folder in the Hub's layout: adapter files, and a card."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.errors import InvalidInput
from registry.exchange.hub_card import Card
from registry.exchange.hub_folder import CARD, PACKAGES, card_metadata, texts
from registry.optional import require
from registry.refs import shown
from registry.run_folder import WEIGHTS

if TYPE_CHECKING:
    from registry.base_model import BaseModel
    from registry.store import Registry
    from registry.version import AdapterVersion

CONFIG = "adapter_config.json"
PLOT = "loss.png"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def lay_out(
    registry: "Registry",
    version: "AdapterVersion",
    folder: Path,
    *,
    base_model: str = "",
    license_id: str = "",
    datasets: Sequence[str] = (),
    on_bytes: Callable[[int], None] | None = None,
) -> list[str]:
    """Write a version's files as the Hub expects them.

    Args:
        registry: holds it.
        version: the version.
        folder: empty; what is in it afterwards may be published: no record, no recipe file, no metrics of single steps.
        base_model: Hub id of the base; by default what the base or the version's own card says.
        license_id: an identifier of the Hub's list; by default the version's own card's.
        datasets: Hub ids; by default the version's own card's.
        on_bytes: hears the size of each piece that was copied.

    Returns:
        Names of the files.

    Raises:
        InvalidInput: nobody knows the base's Hub id.
        Corrupted: the registry's disk holds other bytes than were pushed.
    """
    require("hub", PACKAGES)
    base = registry.bases.get(version.manifest.base_fingerprint)
    pulled = folder / ".pulled"
    registry.versions.pull(version, pulled, on_bytes=on_bytes)
    claims = card_metadata(pulled / CARD)
    model = base_model or _hub_id(version, base, texts(claims.get("base_model")))
    if not HUB_ID.fullmatch(model):
        raise InvalidInput(f"{shown(model)} is no id of the Hub.", "Write --base-model ORG/NAME.")
    card = Card(
        version=version,
        base_model=model,
        license=license_id or next(iter(texts(claims.get("license"))), ""),
        datasets=datasets or texts(claims.get("datasets")) or texts(version.manifest.data.get("datasets")),
        reports=registry.reports.list(version.digest),
        signers=[signature.key for signature in registry.signatures.list(version.digest)],
        has_plot=(pulled / PLOT).is_file(),
    )
    (pulled / CARD).write_text(card.text(), encoding="utf-8")
    _name_base(pulled / CONFIG, model, base)
    kept = [name for name in (CONFIG, WEIGHTS, CARD, PLOT) if (pulled / name).is_file()]
    for name in kept:
        (pulled / name).replace(folder / name)
    shutil.rmtree(pulled)
    return kept


def _hub_id(version: "AdapterVersion", base: "BaseModel", claimed: Sequence[str]) -> str:
    found = next((model for model in (base.source, *claimed) if HUB_ID.fullmatch(model)), "")
    if not found:
        raise InvalidInput(
            f"The base {base.name} of {version} came from {shown(base.source)}, which is no id of the Hub.",
            "Name the base's with --base-model ORG/NAME.",
        )
    return found


def _name_base(file: Path, model: str, base: "BaseModel") -> None:
    """Let PEFT find the base: where it was trained, the configuration names a folder."""
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    document["base_model_name_or_path"] = model
    if base.source == model and _COMMIT.fullmatch(base.revision):
        document["revision"] = base.revision
    file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
