"""ServingProfile: everything that changes the numbers a client gets."""

from dataclasses import asdict, dataclass
from typing import Any

from registry.canonical import digest_document


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingProfile:
    """The exact set-up that serves. Two servers with one fingerprint give the same answers, up to batch noise.

    Attributes:
        base_name: what the base is called; does not count for the fingerprint.
        base_fingerprint: weights and quantised form.
        quantization: how the engine holds the weights, for example ``nf4-double-bf16``.
        engine: ``vllm`` or ``llama.cpp``.
        engine_version: its version.
        device: ``cpu`` or ``cuda``.
        dtype: of the computation, for example ``bfloat16``.
        kv_cache_dtype: of the KV cache, ``auto`` where it is the dtype.
        context_length: tokens of prompt and answer together.
        chat_template_digest: ``sha256:<hex>`` of the chat template.
        engine_args: the engine's further arguments, as typed: any of them may change the numbers.
    """

    base_name: str
    base_fingerprint: str
    quantization: str
    engine: str
    engine_version: str
    device: str
    dtype: str
    kv_cache_dtype: str
    context_length: int
    chat_template_digest: str
    engine_args: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """``sha256:<hex>`` of every field but the base's name."""
        fields = self._fields()
        del fields["base_name"]
        return digest_document(fields)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "ServingProfile":
        """Inverse of ``to_json``."""
        fields = {key: value for key, value in document.items() if key != "fingerprint"}
        return cls(**fields | {"engine_args": tuple(document.get("engine_args", ()))})

    def to_json(self) -> dict[str, Any]:
        """The form that is stored and shown."""
        return self._fields() | {"fingerprint": self.fingerprint}

    def _fields(self) -> dict[str, Any]:
        """Without ``engine_args`` where there are none: reports from before there was such a field stay valid."""
        fields = asdict(self)
        if not self.engine_args:
            del fields["engine_args"]
        return fields
