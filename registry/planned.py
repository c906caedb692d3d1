"""The manifest that a version has, or that a push of a folder will make."""

from pathlib import Path

from registry.base_model import BaseModel
from registry.files import FileEntry
from registry.manifest import LoraConfig, Manifest
from registry.peft_config import read_config
from registry.run_folder import Record, kept_files, read_record


def manifest_of(entries: tuple[FileEntry, ...], base: BaseModel, lora: LoraConfig, record: Record) -> Manifest:
    """The manifest of a version that consists of these files and says this of itself."""
    return Manifest(
        files=entries,
        base_name=base.name,
        base_fingerprint=base.fingerprint,
        lora=lora,
        recipe=record.recipe,
        data=record.data,
        metrics=record.metrics,
        code=record.code,
    )


def planned(folder: Path, base: BaseModel) -> Manifest:
    """The manifest that a push of ``folder`` will make, for a signature that has to be there at the push.

    Raises:
        InvalidAdapter: the folder is no adapter; only the push itself proves that it fits.
    """
    entries = tuple(FileEntry.of(folder, file) for file in kept_files(folder))
    return manifest_of(entries, base, read_config(folder)[0], read_record(folder))
