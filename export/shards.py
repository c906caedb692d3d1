"""ShardWriter: safetensors files of bounded size, in Hugging Face's layout."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

SHARD = 2 << 30
"""Bytes a file; also what the writer holds in memory at most, plus one tensor."""


class ShardWriter:
    """Gathers tensors until a file is full, then writes it.

    Attributes:
        folder: where the files go.
        limit: bytes a file.
    """

    def __init__(self, folder: Path, limit: int = SHARD) -> None:
        self.folder = folder
        self.limit = limit
        self._pending: dict[str, torch.Tensor] = {}
        self._pending_bytes = 0
        self._shards: list[list[str]] = []
        self._total_bytes = 0

    def add(self, name: str, tensor: torch.Tensor) -> None:
        """Take a tensor; write a file if it would be over the limit with it."""
        if self._pending and self._pending_bytes + tensor.nbytes > self.limit:
            self._write()
        self._pending[name] = tensor.contiguous()
        self._pending_bytes += tensor.nbytes
        self._total_bytes += tensor.nbytes

    def finish(self) -> None:
        """Write what is left, give the files their final names, and the index where there is more than one."""
        if self._pending:
            self._write()
        count = len(self._shards)
        if count == 1:
            self._part(0).rename(self.folder / "model.safetensors")
            return
        weight_map: dict[str, str] = {}
        for position, names in enumerate(self._shards):
            final = f"model-{position + 1:05}-of-{count:05}.safetensors"
            self._part(position).rename(self.folder / final)
            weight_map |= dict.fromkeys(names, final)
        index = {"metadata": {"total_size": self._total_bytes}, "weight_map": weight_map}
        text = json.dumps(index, indent=2, sort_keys=True)
        (self.folder / "model.safetensors.index.json").write_text(text + "\n", encoding="utf-8")

    def _write(self) -> None:
        save_file(self._pending, self._part(len(self._shards)), metadata={"format": "pt"})
        self._shards.append(list(self._pending))
        self._pending, self._pending_bytes = {}, 0

    def _part(self, position: int) -> Path:
        return self.folder / f"part-{position:05}.safetensors"
