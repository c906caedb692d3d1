"""Train: from a plan to a finished run folder."""

import resource
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch

from registry.canonical import digest_file
from trainer import guards
from trainer.adapter import WEIGHTS, further_adapter, load_base, new_adapter, round_as_served, save_adapter
from trainer.fit import Watch, fit, score_before
from trainer.held_out import HeldOutScore, score
from trainer.plan import Plan, linear_names
from trainer.plot import plot_loss
from trainer.quiet import quiet_libraries
from trainer.recipe_file import write_recipe
from trainer.record import code_of, write_record
from trainer.run_folder import RunFolder, read_metrics
from trainer.screen import Screen
from trainer.tokens import Example, tokenize_all


def train(plan: Plan, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    """Train the plan's adapter into ``folder``, or go on where a kill left it.

    Returns:
        The metrics of the record.

    Raises:
        RunExists: another process trains there, or what lies there is of another recipe.
        UselessRun: the result would be worthless.
    """
    with folder.held(), quiet_libraries():
        folder.start(plan.to_json())
        try:
            metrics = _train(plan, folder, screen)
        except KeyboardInterrupt:
            if folder.last_checkpoint() is None:
                shutil.rmtree(folder.partial)
            raise
    folder.finish()
    return metrics


def _train(plan: Plan, folder: RunFolder, screen: Screen) -> dict[str, Any]:
    began = time.perf_counter()
    recipe, cuda = plan.recipe, torch.cuda.is_available()
    screen.stage("loading the base")
    model, tokenizer = load_base(plan.nf4, cuda=cuda)
    examples, too_long = tokenize_all(tokenizer, plan.data.train, recipe.max_length)
    held_out, _ = tokenize_all(tokenizer, plan.data.held_out, recipe.max_length)
    held_out = held_out[: recipe.output.score_rows]
    guards.check_mask(sum(map(sum, (example.mask for example in examples))))
    warnings = _warnings(plan, examples, too_long)
    for warning in warnings:
        screen.warn(warning)
    if plan.parent:
        adapted = further_adapter(model, plan.parent)
    else:
        adapted = new_adapter(model, recipe.lora, plan.targets, recipe.seed)
    watch = Watch(folder, held_out, recipe.output.scores, screen)
    before = score_before(folder, held_out, adapted, watch, screen)
    fit(adapted, tokenizer, examples, watch, recipe, folder, cuda=cuda)
    guards.check_change(round_as_served(adapted))
    screen.stage("scoring held-out after training", len(held_out))
    after = score(adapted, held_out, screen.step)
    last = max((line["step"] for line in read_metrics(folder.metrics)), default=0)
    watch.write_score(last, after)
    save_adapter(adapted, folder.partial, plan.base)
    lines = read_metrics(folder.metrics)
    found = list(guards.after_training(*_curves(lines)))
    for warning in found:
        screen.warn(warning)
    metrics = _metrics(lines, before, after, warnings + found, watch) | {"seconds": time.perf_counter() - began}
    _write(plan, folder, metrics)
    return metrics


def _warnings(plan: Plan, examples: Sequence[Example], too_long: int) -> list[str]:
    recipe = plan.recipe
    epochs = recipe.epochs
    if recipe.max_steps:
        epochs = recipe.max_steps * recipe.batch_size * recipe.accumulation / len(examples)
    return list(
        guards.before_training(
            epochs=epochs,
            targets=plan.targets,
            linear=linear_names(list(plan.base.modules)),
            too_long=too_long,
            leaked=plan.data.leaked,
            max_length=recipe.max_length,
        )
    )


def _curves(lines: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    return (
        [line["loss"] for line in lines if "loss" in line],
        [line["held_out_loss"] for line in lines if "held_out_loss" in line],
    )


def _metrics(
    lines: Sequence[dict[str, Any]], before: HeldOutScore, after: HeldOutScore, warnings: list[str], watch: Watch
) -> dict[str, Any]:
    losses, _ = _curves(lines)
    recent = losses[-10:]
    return {
        "steps": max(line["step"] for line in lines),
        "train_loss": sum(recent) / len(recent),
        "held_out": {"before": before.to_json(), "after": after.to_json()},
        "seconds_per_step": watch.seconds / max(1, watch.steps_done),
        "peak_rss_gib": _peak_rss() / 2**30,
        "peak_vram_gib": torch.cuda.max_memory_reserved() / 2**30 if torch.cuda.is_available() else 0.0,
        "warnings": warnings,
    }


def _peak_rss() -> int:
    """Bytes; Linux counts in KiB, macOS in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _write(plan: Plan, folder: RunFolder, metrics: dict[str, Any]) -> None:
    write_recipe(plan.recipe, folder.partial / "recipe.toml")
    title = f"{folder.path.name}: rank {plan.recipe.lora.rank} on {plan.base.name}"
    plot_loss(read_metrics(folder.metrics), title, folder.partial / "loss.png")
    data = plan.data
    # A further training is of its data and of what the parent had learned.
    parent = {"parent_adapter": digest_file(plan.parent / WEIGHTS)} if plan.parent else {}
    write_record(
        folder.partial / "record.json",
        base={"name": plan.base.name, "fingerprint": plan.base.fingerprint},
        recipe=plan.recipe.model_dump(mode="json", exclude_none=True),
        data={"digest": data.digest, "rows": len(data.train), "held_out_rows": len(data.held_out)} | parent,
        metrics=metrics,
        code=code_of(plan.project),
    )
