"""BaseModel: the one base that adapters are trained on and served over, in the very same bytes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from registry.canonical import digest_document
from registry.files import FileEntry

NF4 = "nf4-double-bf16"
"""The quantised form: 4-bit NormalFloat, double quantisation, bf16 compute (QLoRA, arXiv:2305.14314)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A prepared base.

    On disk a base is a folder ``<home>/bases/<name>/`` with ``base.json`` (this record), ``bf16/`` (the original
    weights, 16-bit safetensors) and ``nf4/`` (the quantised form that trainer and server load).

    Attributes:
        name: what commands call it, for example ``smollm2-135m``.
        source: where it came from: a Hugging Face id, or the name of a folder or GGUF file.
        revision: the source's commit or digest.
        quantization: the quantised form, ``NF4``.
        architecture: the class in config.json, for example ``LlamaForCausalLM``.
        parameters: number of weights.
        context_length: tokens that the model was trained for.
        chat_template_digest: ``sha256:<hex>`` of the chat template's text, or ``""``.
        modules: each linear layer that an adapter may target -> (out, in) features.
        bf16: files of the 16-bit form.
        nf4: files of the quantised form.
    """

    name: str
    source: str
    revision: str
    quantization: str
    architecture: str
    parameters: int
    context_length: int
    chat_template_digest: str
    modules: Mapping[str, tuple[int, int]]
    bf16: tuple[FileEntry, ...]
    nf4: tuple[FileEntry, ...]

    @property
    def fingerprint(self) -> str:
        """``sha256:<hex>`` over the quantisation and every file of both forms; name and source do not count."""
        return digest_document(
            {
                "quantization": self.quantization,
                "bf16": [entry.to_json() for entry in sorted(self.bf16)],
                "nf4": [entry.to_json() for entry in sorted(self.nf4)],
            }
        )

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "BaseModel":
        """Inverse of ``to_json``."""
        fields = {key: value for key, value in document.items() if key not in {"fingerprint", "modules"}}
        fields["modules"] = {name: (int(out), int(into)) for name, (out, into) in document["modules"].items()}
        for form in ("bf16", "nf4"):
            fields[form] = tuple(FileEntry.from_json(entry) for entry in document[form])
        return cls(**fields)

    def to_json(self) -> dict[str, Any]:
        """The form of ``base.json`` and of the registry's record."""
        document = asdict(self) | {"fingerprint": self.fingerprint}
        document["modules"] = {name: list(shape) for name, shape in self.modules.items()}
        for form in ("bf16", "nf4"):
            document[form] = [entry.to_json() for entry in getattr(self, form)]
        return document
