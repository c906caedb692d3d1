"""Prepare a base: one source becomes the 16-bit and the NF4 form that trainer, server and export all load."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from registry.base_model import NF4, BaseModel
from registry.bases import RECORD, LocalBases
from registry.canonical import digest_bytes
from registry.errors import Conflict
from registry.files import FileEntry
from trainer.errors import SourceError
from trainer.gguf_tokenizer import restore_pre_tokenizer
from trainer.quiet import quiet_libraries
from trainer.source import Source

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Say where a tokenizer was loaded from, which is no property of it and would change the fingerprint.
_PLACE_KEYS = ("is_local", "local_files_only", "name_or_path")

Step = Callable[[str], None]
STEPS = ("reading", "loading", "writing 16-bit", "quantising", "writing NF4", "fingerprint")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A base, and whether this call made it."""

    base: BaseModel
    created: bool


def prepare(text: str, name: str, bases: LocalBases, on_step: Step) -> Prepared:
    """Make ``<bases>/<name>/`` from a source, or find that it was made before.

    The folder is complete or absent: it is made beside its place and renamed, and the record is written last.

    Args:
        text: the source as a person names it.
        name: what the base shall be called.
        bases: where prepared bases are.
        on_step: hears each of ``STEPS`` when it begins.

    Raises:
        NotFound, SourceError: the source is missing or no model.
        Conflict: the name is taken by another source, or is being prepared by another process.
    """
    target = bases.folder(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.with_name(f".{target.name}.partial")
    try:
        with FileLock(target.with_name(f".{target.name}.lock"), timeout=0):
            on_step("reading")
            if found := _prepared_before(text, name, bases):
                return Prepared(found, created=False)
            source = Source.parse(text).fetched()
            shutil.rmtree(work, ignore_errors=True)
            with quiet_libraries():
                base = _make(source, name, work, on_step)
            shutil.rmtree(target, ignore_errors=True)
            work.rename(target)
            _write_record(target / RECORD, base)
            return Prepared(base, created=True)
    except Timeout:
        raise Conflict(f"Another process is preparing {name} now.", "Wait for it to end.") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _prepared_before(text: str, name: str, bases: LocalBases) -> BaseModel | None:
    """The base of this name, if it came from this very source."""
    if not (bases.folder(name) / RECORD).is_file():
        return None
    base = bases.get(name)
    source = Source.parse(text)
    # A Hugging Face id without a commit asks for the model, not for its newest upload.
    if source.name == base.source and (source.digest() or base.revision) == base.revision:
        return base
    raise Conflict(
        f"The name {name} is taken by a base made from {base.source} ({base.revision[:19]}).",
        "Choose another --name, or remove the folder with that name among the bases.",
    )


def _make(source: Source, name: str, work: Path, on_step: Step) -> BaseModel:
    revision = source.digest()
    on_step("loading")
    model, tokenizer = _load(source)
    on_step("writing 16-bit")
    _save(work / "bf16", model, tokenizer)
    modules = linear_modules(model)
    facts = _facts(model, tokenizer)
    del model
    on_step("quantising")
    quantized = _quantize(work / "bf16")
    on_step("writing NF4")
    _save(work / "nf4", quantized, tokenizer)
    on_step("fingerprint")
    return BaseModel(
        name=name,
        source=source.name,
        revision=revision,
        quantization=NF4,
        modules=modules,
        bf16=_entries(work / "bf16"),
        nf4=_entries(work / "nf4"),
        **facts,
    )


def _load(source: Source) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase]":
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GgufConfig

    assert source.path is not None  # noqa: S101 - fetched() gave it a place
    if source.path.is_file():
        folder, gguf = source.path.parent, source.path.name
        # Without dequantize=True the weights stay in GGUF's blocks and cannot be saved.
        options: dict[str, Any] = {"gguf_file": gguf, "quantization_config": GgufConfig(dequantize=True)}
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=gguf)
        restore_pre_tokenizer(tokenizer, source.path)
    else:
        folder, options = source.path, {}
        if getattr(AutoConfig.from_pretrained(folder), "quantization_config", None):
            raise SourceError(f"{source.name} is quantised already.", "Give the 16-bit weights, or a .gguf file.")
        tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16, **options)
    return model, tokenizer


def _quantize(folder: Path) -> "PreTrainedModel":
    """Load 16-bit weights as NF4, on the CPU whatever else is there: the same bytes on every machine."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    config = BitsAndBytesConfig(  # type: ignore[no-untyped-call] # transformers'
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=config, dtype=torch.bfloat16, device_map={"": "cpu"}
    )
    return model


def _save(folder: Path, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = folder / "tokenizer_config.json"
    document = json.loads(settings.read_text(encoding="utf-8"))
    kept = {key: value for key, value in document.items() if key not in _PLACE_KEYS}
    settings.write_text(json.dumps(kept, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def linear_modules(model: "PreTrainedModel") -> dict[str, tuple[int, int]]:
    """Each linear layer that an adapter may target -> (out, in) features; the output head is none of them."""
    from torch import nn

    head = model.get_output_embeddings()  # type: ignore[no-untyped-call] # transformers'
    return {
        name: (module.out_features, module.in_features)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }


def _facts(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> dict[str, Any]:
    template = tokenizer.chat_template
    config = model.config.get_text_config()
    return {
        "architecture": type(model).__name__,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "context_length": int(getattr(config, "max_position_embeddings", 0)),
        "chat_template_digest": digest_bytes(template.encode()) if isinstance(template, str) else "",
    }


def _entries(folder: Path) -> tuple[FileEntry, ...]:
    return tuple(FileEntry.of(folder, file.name) for file in sorted(folder.iterdir()))


def _write_record(path: Path, base: BaseModel) -> None:
    partial = path.with_name(f".{path.name}")
    with partial.open("w", encoding="utf-8") as stream:
        json.dump(base.to_json(), stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(path)
