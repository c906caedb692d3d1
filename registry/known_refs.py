"""KnownRefs: what references named when they were last asked, for pulls while the registry is away."""

import hashlib
import json
import os
import tempfile
from datetime import datetime
from pathlib import Path

from registry.refs import AdapterRef
from registry.times import from_text, now, to_text
from registry.version import AdapterVersion


class KnownRefs:
    """A folder with one small file for each reference that was pulled.

    Args:
        root: the folder.
        registry: the registry's place, for each has its own names.
    """

    def __init__(self, root: Path, registry: str) -> None:
        self._folder = root / _name(registry)

    def remember(self, ref: AdapterRef, version: AdapterVersion) -> None:
        """Write down what a reference names now."""
        document = version.to_json() | {"manifest": version.manifest.to_json(), "asked": to_text(now())}
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=".")
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(document, stream)
        Path(name).replace(self._file(ref))

    def recall(self, ref: AdapterRef) -> tuple[AdapterVersion, datetime] | None:
        """What a reference named, and when; None where that was never asked, or the note is damaged."""
        try:
            document = json.loads(self._file(ref).read_text(encoding="utf-8"))
            version, asked = AdapterVersion.from_json(document), from_text(document["asked"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return (version, asked) if version.manifest.digest == version.digest else None

    def _file(self, ref: AdapterRef) -> Path:
        return self._folder / f"{_name(str(ref))}.json"


def _name(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
