"""Manifest: everything that a version is, as one canonical document whose digest names the version."""

from dataclasses import asdict, dataclass, field
from typing import Any

from registry.canonical import canonical_json, digest_bytes
from registry.files import FileEntry

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraConfig:
    """What an engine has to know of the adapter, from PEFT's ``adapter_config.json``.

    Attributes:
        rank: r, the inner dimension.
        alpha: the update is scaled by alpha / rank (alpha / sqrt(rank) with rsLoRA).
        target_modules: names of the linear layers it changes, sorted.
        use_rslora: rank-stabilised scaling.
        use_dora: weight-decomposed adapter.
    """

    rank: int
    alpha: float
    target_modules: tuple[str, ...]
    use_rslora: bool = False
    use_dora: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One version's content and provenance.

    Attributes:
        files: every file of the version, sorted by path.
        base_name: the base's name where it was trained.
        base_fingerprint: the base's fingerprint.
        lora: the LoRA configuration.
        recipe: the resolved recipe, or empty where another tool trained it.
        data: the training data's digest, rows and held-out rows.
        metrics: what the trainer measured.
        code: commit and package versions of the trainer.
    """

    files: tuple[FileEntry, ...]
    base_name: str
    base_fingerprint: str
    lora: LoraConfig
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    code: dict[str, Any] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` of the canonical JSON: the version's digest."""
        return digest_bytes(self.to_bytes())

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(entry.size for entry in self.files)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "Manifest":
        """Inverse of ``to_json``."""
        lora = document["lora"]
        return cls(
            files=tuple(FileEntry.from_json(entry) for entry in document["files"]),
            base_name=document["base"]["name"],
            base_fingerprint=document["base"]["fingerprint"],
            lora=LoraConfig(**lora | {"target_modules": tuple(lora["target_modules"])}),
            recipe=document["recipe"],
            data=document["data"],
            metrics=document["metrics"],
            code=document["code"],
        )

    def to_json(self) -> dict[str, Any]:
        """The document that is stored."""
        return {
            "schema": SCHEMA,
            "files": [entry.to_json() for entry in sorted(self.files)],
            "base": {"name": self.base_name, "fingerprint": self.base_fingerprint},
            "lora": asdict(self.lora) | {"target_modules": sorted(self.lora.target_modules)},
            "recipe": self.recipe,
            "data": self.data,
            "metrics": self.metrics,
            "code": self.code,
        }

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical_json(self.to_json())
