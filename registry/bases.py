"""The prepared bases of this machine: ``<home>/bases/<name>/``."""

import json
from collections.abc import Sequence
from pathlib import Path

from registry.base_model import BaseModel
from registry.errors import NotFound
from registry.refs import valid_name

RECORD = "base.json"


class LocalBases:
    """Reads what ``adaptory base prepare`` wrote."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def get(self, name: str) -> BaseModel:
        """Find a base by name.

        Raises:
            NotFound: it was not prepared on this machine.
        """
        record = self.folder(name) / RECORD
        if not record.is_file():
            known = ", ".join(base.name for base in self.list()) or "none yet"
            raise NotFound(
                f"The base {name} is not prepared on this machine (prepared: {known}).",
                f"adaptory base prepare SOURCE --name {name}",
            )
        return BaseModel.from_json(json.loads(record.read_text(encoding="utf-8")))

    def list(self) -> Sequence[BaseModel]:
        """All prepared bases, by name."""
        names = sorted(record.parent.relative_to(self.root).as_posix() for record in self.root.glob(f"**/{RECORD}"))
        return [self.get(name) for name in names]

    def folder(self, name: str) -> Path:
        """Where a base of this name is, or would be."""
        return self.root / valid_name(name)

    def bf16(self, base: BaseModel) -> Path:
        """Folder of the 16-bit weights, in Hugging Face layout."""
        return self.folder(base.name) / "bf16"

    def nf4(self, base: BaseModel) -> Path:
        """Folder of the NF4 weights, in Hugging Face layout; trainer and server load it."""
        return self.folder(base.name) / "nf4"
