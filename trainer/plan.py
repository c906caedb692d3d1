"""Plan: everything about a run that can be known and proved before torch is imported."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.base_model import BaseModel
from registry.bases import LocalBases
from registry.canonical import digest_document
from registry.optional import require
from registry.peft_config import read_config
from registry.run_folder import read_record
from trainer.data import Data, load_data
from trainer.errors import RecipeError
from trainer.recipe import Lora, Recipe

PACKAGES = ("torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate", "matplotlib")


@dataclass(frozen=True, slots=True)
class Plan:
    """A run that can begin.

    Attributes:
        recipe: resolved; a further training has the ``[lora]`` of its parent.
        base: what is trained on.
        nf4: folder of the base's NF4 form.
        targets: names of the layers that the adapter changes, sorted.
        data: both sides.
        parent: folder of the adapter that is trained further.
        project: folder of the recipe.
    """

    recipe: Recipe
    base: BaseModel
    nf4: Path
    targets: list[str]
    data: Data
    parent: Path | None
    project: Path

    def to_json(self) -> dict[str, Any]:
        """What ``--resume`` compares."""
        return {
            "recipe": digest_document(self.recipe.model_dump(mode="json")),
            "base": self.base.fingerprint,
            "data": self.data.digest,
        }


def make_plan(recipe: Recipe, project: Path, bases: LocalBases) -> Plan:
    """Find the base, the layers, the parent and the data.

    Raises:
        MissingPackage: training needs a package that is not installed.
        NotFound: the base is not prepared.
        RecipeError: the recipe does not fit the base or the parent.
        DataError: a data file is broken.
    """
    require("train", {package: package for package in PACKAGES})
    base = bases.get(recipe.base)
    if not base.chat_template_digest:
        raise RecipeError(f"The base {base.name} has no chat template.", "Prepare its instruct variant instead.")
    parent = project / recipe.init_from if recipe.init_from else None
    if parent:
        recipe = recipe.model_copy(update={"lora": _lora_of(parent, recipe, base)})
    held_out = project / recipe.held_out if isinstance(recipe.held_out, str) else recipe.held_out
    return Plan(
        recipe=recipe,
        base=base,
        nf4=bases.nf4(base),
        targets=resolve_targets(recipe.lora.target_modules, list(base.modules)),
        data=load_data(project / recipe.data, held_out, recipe.seed),
        parent=parent,
        project=project,
    )


def linear_names(modules: Sequence[str]) -> list[str]:
    """Last parts of the modules' names, such as ``q_proj``, each once, sorted."""
    return sorted({module.rpartition(".")[2] for module in modules})


def resolve_targets(wanted: str | list[str], modules: Sequence[str]) -> list[str]:
    """Names of the layers that the adapter changes, sorted.

    Raises:
        RecipeError: the base has no such linear layer.
    """
    known = linear_names(modules)
    if isinstance(wanted, str):
        return known
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            meant = f"Did you mean {near[0]}?" if near else f"It has {', '.join(known)}."
            raise RecipeError(f"lora.target_modules: the base has no linear layer {name}.", meant)
    if not wanted:
        raise RecipeError("lora.target_modules is empty.", 'Write "all-linear".')
    return sorted(set(wanted))


def _lora_of(parent: Path, recipe: Recipe, base: BaseModel) -> Lora:
    """The parent's ``[lora]``; a recipe that asks for another one is refused, since the shapes could not change."""
    config, _ = read_config(parent)
    trained_on = read_record(parent).base_fingerprint
    if trained_on and trained_on != base.fingerprint:
        raise RecipeError(
            f"init_from: {parent.name} was trained on another base ({trained_on[:19]}).", "Use the base it names."
        )
    lora = Lora(
        rank=config.rank,
        alpha=config.alpha,
        dropout=recipe.lora.dropout,
        target_modules=list(config.target_modules),
        use_rslora=config.use_rslora,
    )
    fixed = {"rank", "alpha", "target_modules", "use_rslora"} & recipe.lora.model_fields_set
    if any(getattr(recipe.lora, key) != getattr(lora, key) for key in fixed):
        raise RecipeError(
            f"[lora] differs from that of {parent.name}, which is trained further.", "Leave [lora] out of the recipe."
        )
    return lora
