"""ExportPlan: what is asked for, before anything heavy is imported."""

from dataclasses import dataclass
from typing import Any, Literal

from registry.base_model import BaseModel
from registry.bases import LocalBases
from registry.errors import InvalidInput, NotFound
from registry.version import AdapterVersion

Form = Literal["gguf", "merged-16bit"]
MergeBase = Literal["nf4", "original"]

QUANTS = {
    "bf16": 16.0,
    "f16": 16.0,
    "q8_0": 8.5,
    "q6_k": 6.6,
    "q5_k_m": 5.7,
    "q4_k_m": 4.9,
    "q4_k_s": 4.6,
    "q3_k_m": 3.9,
}
"""Names of GGUF forms -> bits a weight, about; closest to the 16-bit weights first.

Source of the figures: llama.cpp, tools/quantize/README.md, Llama 3.1 8B.
"""

DEFAULT_QUANT = "q4_k_m"
MERGED_QUANT = "bf16"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportPlan:
    """One export.

    Attributes:
        version: what is exported.
        base: the prepared base that it was trained on.
        form: ``gguf`` or ``merged-16bit``.
        quant: a key of ``QUANTS``; ``bf16`` for merged weights.
        merge_base: ``nf4``, the dequantised 4-bit base that was trained on, or ``original``, the 16-bit weights.
    """

    version: AdapterVersion
    base: BaseModel
    form: Form
    quant: str
    merge_base: MergeBase

    @property
    def stem(self) -> str:
        """A file name for the result, without its ending: ``team-support-3-q4_k_m``."""
        return f"{self.version.name.replace('/', '-')}-{self.version.number}-{self.quant}"

    @property
    def merged_bytes(self) -> int:
        """Size of the merged weights."""
        return 2 * self.base.parameters

    @property
    def result_bytes(self) -> int:
        """Size of the result, about."""
        return int(self.base.parameters * QUANTS[self.quant] / 8)

    @property
    def space(self) -> int:
        """Bytes of disk that the work needs at its peak, with the copy that the registry keeps."""
        if self.form == "merged-16bit":
            return self.merged_bytes + self.result_bytes
        return 2 * self.merged_bytes + 2 * self.result_bytes

    def to_json(self) -> dict[str, Any]:
        """The part of an artifact's recipe that says how to build it again."""
        return {
            "version": str(self.version),
            "base": {"name": self.base.name, "fingerprint": self.base.fingerprint},
            "merge_base": self.merge_base,
            "quant": self.quant,
            "context_length": self.base.context_length,
        }


def choose_quant(form: Form, quant: str | None) -> str:
    """The form's default, or what was asked for if the form has it.

    Raises:
        InvalidInput: merged weights in anything but bf16.
    """
    if form == "gguf":
        return quant or DEFAULT_QUANT
    if quant not in (None, MERGED_QUANT):
        raise InvalidInput(
            f"Merged weights are {MERGED_QUANT}; {quant} is a form of GGUF.", f"Type --to gguf --quant {quant}."
        )
    return MERGED_QUANT


def find_base(version: AdapterVersion, bases: LocalBases) -> BaseModel:
    """The prepared base with the fingerprint that the version was trained on.

    Raises:
        NotFound: this machine does not have it.
    """
    prepared = bases.list()
    for base in prepared:
        if base.fingerprint == version.manifest.base_fingerprint:
            return base
    known = ", ".join(f"{base.name} {base.fingerprint[:19]}…" for base in prepared) or "none"
    name, fingerprint = version.manifest.base_name, version.manifest.base_fingerprint[:19]
    raise NotFound(
        f"{version} was trained on the base {name} ({fingerprint}…), which is not on this machine (prepared: {known}).",
        f"adaptory base prepare SOURCE --name {name}",
    )
