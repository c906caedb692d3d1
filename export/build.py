"""Build: pull, merge, convert, quantise and check, in a temporary folder that is gone at the end."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from export.plan import ExportPlan, Form
from export.quiet import quiet_libraries
from export.space import disk_full_in_one_line, require_space
from export.steps import Steps
from export.threads import compute_threads
from registry.bases import LocalBases
from registry.console import say
from registry.optional import require
from registry.settings import Settings
from registry.store import Registry

PACKAGES = {"torch": "torch", "safetensors": "safetensors", "transformers": "transformers"}
FORM_PACKAGES = {"gguf": {"gguf": "gguf", "llama_cpp": "llama-cpp-python"}, "merged-16bit": {}}
NF4_PACKAGES = {"bitsandbytes": "bitsandbytes"}
"""Modules that a build needs -> what they are called where packages are installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What a build made.

    Attributes:
        folder: holds the artifact's files and nothing else.
        recipe: how to build it again, and what came out.
        drift: see ``export.drift``; empty where it was not measured.
    """

    folder: Path
    recipe: dict[str, Any]
    drift: dict[str, float]


def require_packages(form: Form, merge_base: str) -> dict[str, str]:
    """Versions of what the build uses.

    Raises:
        MissingPackage: one is not installed.
    """
    needed = PACKAGES | FORM_PACKAGES[form] | (NF4_PACKAGES if merge_base == "nf4" else {})
    require("export", needed)
    return {package: package_version(package) for package in sorted(needed.values())}


@contextmanager
def build(plan: ExportPlan, settings: Settings, registry: Registry, steps: Steps, *, drift: bool) -> Iterator[Built]:
    """Build what the plan asks for; the files are there as long as the block runs.

    Raises:
        MissingPackage, DiskFull, ConversionFailed, Corrupted, InvalidAdapter: in one line.
    """
    tools = require_packages(plan.form, plan.merge_base)
    bases = LocalBases(settings.bases)
    settings.cache.mkdir(parents=True, exist_ok=True)
    require_space(settings.cache, plan.space)
    with (
        disk_full_in_one_line(settings.cache),
        tempfile.TemporaryDirectory(dir=settings.cache, prefix="export-") as name,
        quiet_libraries(),
    ):
        import torch

        torch.set_num_threads(compute_threads())
        work = Path(name)
        with steps.bytes("pulling the adapter", plan.version.manifest.size) as on_bytes:
            registry.versions.pull(plan.version, work / "adapter", on_bytes)
        _merge(plan, bases, work, steps)
        found: dict[str, Any] = {}
        artifact = folder = work / "merged"
        if plan.form == "gguf":
            artifact, found = _to_gguf(plan, settings, work, steps)
            folder = artifact.parent
        measured, source = _drift(plan, bases, work / "adapter", artifact, steps) if drift else ({}, "not measured")
        recipe = plan.to_json() | {"tools": tools} | found | {"drift_prompts": source}
        yield Built(folder=folder, recipe=recipe, drift=measured)


def _merge(plan: ExportPlan, bases: LocalBases, work: Path, steps: Steps) -> None:
    from export.merge import merge

    nf4 = plan.merge_base == "nf4"
    folder, entries = (bases.nf4, plan.base.nf4) if nf4 else (bases.bf16, plan.base.bf16)
    weights = folder(plan.base)
    with steps.bytes("verifying the base", sum(entry.size for entry in entries)) as on_bytes:
        for entry in entries:
            entry.verify(weights)
            on_bytes(entry.size)
    with steps.bytes(f"merging into the {plan.merge_base} base", plan.merged_bytes) as on_bytes:
        merge(adapter=work / "adapter", base=plan.base, weights=weights, target=work / "merged", on_bytes=on_bytes)


def _to_gguf(plan: ExportPlan, settings: Settings, work: Path, steps: Steps) -> tuple[Path, dict[str, Any]]:
    from export import gguf
    from export.converter import ensure_converter
    from export.gguf_check import check

    with steps.waiting("llama.cpp's converter"):
        converter = ensure_converter(settings.cache / "tools")
    target = work / "gguf" / f"{plan.stem}.gguf"
    target.parent.mkdir()
    plain = plan.quant in gguf.PLAIN
    whole = target if plain else work / "whole.gguf"
    with steps.bytes("converting", plan.merged_bytes) as on_bytes:
        gguf.convert(
            model=work / "merged",
            target=whole,
            dtype=plan.quant if plain else "bf16",
            name=str(plan.version),
            converter=converter,
            on_bytes=on_bytes,
        )
    if not plain:
        with steps.bytes(f"quantising to {plan.quant}", plan.result_bytes) as on_bytes:
            gguf.quantise(source=whole, target=target, quant=plan.quant, on_bytes=on_bytes)
        whole.unlink()
    with steps.waiting("checking template and tokens"):
        notes = check(target, work / "merged")
        types = gguf.tensor_types(target)
    return target, {"tensor_types": types, "notes": notes + fallback_notes(plan.quant, types)}


def fallback_notes(quant: str, types: dict[str, int]) -> list[str]:
    """A sentence where tensors could not have the K-quant that was asked for."""
    fallen = sum(count for kind, count in types.items() if kind in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "F16"))
    if "_k" not in quant or not fallen:
        return []
    whole = sum(count for kind, count in types.items() if kind != "F32")
    return [f"{fallen} of {whole} weights fell back from {quant}: K-quants need rows of a multiple of 256."]


def _drift(
    plan: ExportPlan, bases: LocalBases, adapter: Path, artifact: Path, steps: Steps
) -> tuple[dict[str, float], str]:
    from export.prompts import prompts_for

    if reason := _why_no_drift(plan):
        say(f"Drift is not measured: {reason}.")
        return {}, f"not measured: {reason}"
    from export.drift import measure

    manifest = plan.version.manifest
    prompts, source = prompts_for(manifest.recipe, manifest.data)
    with steps.count("measuring drift", len(prompts)) as on_probe:
        drift = measure(
            bf16=bases.bf16(plan.base),
            nf4=bases.nf4(plan.base),
            adapter=adapter,
            artifact=artifact,
            prompts=prompts,
            on_probe=on_probe,
        )
    return drift, source


def _why_no_drift(plan: ExportPlan) -> str:
    """Why the reference cannot run here, or ``""``."""
    missing = [name for name in ("peft", "bitsandbytes", "psutil") if find_spec(name) is None]
    if missing:
        return f"it needs {missing[0]} (pip install 'adaptory[export]')"
    import psutil

    # One side is in memory at a time, in float32; a quarter for activations and logits, 1 GiB for the libraries.
    needed, free = int(1.25 * 4 * plan.base.parameters) + (1 << 30), psutil.virtual_memory().available
    return "" if needed <= free else f"it needs about {needed >> 30} GiB of memory, {free >> 30} GiB are free"
