"""Fit: the training loop itself, TRL's on the NF4 base, watched by us."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import PrinterCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from trainer.adapter import computes_in_bf16, trainable_in_fp32
from trainer.guards import check_loss
from trainer.held_out import HeldOutScore, score
from trainer.recipe import Recipe
from trainer.run_folder import RunFolder, read_metrics
from trainer.screen import Screen
from trainer.tokens import Example

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedTokenizerBase, TrainerControl, TrainerState, TrainingArguments


class Watch(TrainerCallback):
    """Writes metrics.jsonl, scores held-out along the way, moves the bar, and stops a run that diverged."""

    def __init__(self, folder: RunFolder, examples: Sequence[Example], scores: int, screen: Screen) -> None:
        self._folder = folder
        self._examples = examples
        self._scores = scores
        self._screen = screen
        self._every = 0
        self._held_out = ""
        self.seconds = 0.0
        self.steps_done = 0
        self._started = 0.0

    def write(self, line: dict[str, Any]) -> None:
        """Append to metrics.jsonl."""
        with self._folder.metrics.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")

    def write_score(self, step: int, held_out: HeldOutScore) -> None:
        """Append a held-out score."""
        self.write({"step": step, "held_out_loss": held_out.loss, "held_out_token_accuracy": held_out.token_accuracy})
        self._held_out = f"held-out {held_out.loss:.3f}"

    def on_train_begin(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **_: Any
    ) -> None:
        """Start the bar, at the checkpoint's step where there is one."""
        del args, control
        self._every = max(1, state.max_steps // (self._scores + 1)) if self._scores else state.max_steps
        self._screen.stage("training", state.max_steps)
        self._screen.step(state.global_step)

    def on_step_begin(
        self, args: "TrainingArguments", state: "TrainerState", control: "TrainerControl", **_: Any
    ) -> None:
        """Take the time."""
        del args, state, control
        self._started = time.perf_counter()

    def on_step_end(
        self,
        args: "TrainingArguments",
        state: "TrainerState",
        control: "TrainerControl",
        model: "PeftModel" = None,
        **_: Any,
    ) -> None:
        """Score held-out now and then; the last step is scored once the adapter is rounded."""
        del args, control
        self.seconds += time.perf_counter() - self._started
        self.steps_done += 1
        if state.global_step % self._every == 0 and state.global_step < state.max_steps:
            self.write_score(state.global_step, score(model, self._examples))

    def on_log(
        self,
        args: "TrainingArguments",
        state: "TrainerState",
        control: "TrainerControl",
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Write a line, move the bar."""
        del args, control
        if not logs or "loss" not in logs:
            return
        check_loss(logs["loss"], state.global_step)
        line = {"step": state.global_step, "epoch": round(state.epoch or 0, 4), "loss": logs["loss"]}
        line |= {key: logs[key] for key in ("learning_rate", "grad_norm") if key in logs}
        line["token_accuracy"] = logs.get("mean_token_accuracy", 0.0)
        self.write(line)
        self._screen.step(state.global_step, f"loss {logs['loss']:.3f}  {self._held_out}")


def fit(
    model: "PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    examples: Sequence[Example],
    watch: Watch,
    recipe: Recipe,
    folder: RunFolder,
    *,
    cuda: bool,
) -> None:
    """Train the adapter in place, from the last checkpoint where there is one.

    Raises:
        UselessRun: training diverged.
    """
    from datasets import Dataset

    checkpoint = folder.last_checkpoint()
    folder.cut_metrics(_step_of(checkpoint))
    rows = {
        "input_ids": [example.ids for example in examples],
        "completion_mask": [example.mask for example in examples],
    }
    trainer = SFTTrainer(
        model=model,
        args=_arguments(recipe, folder.checkpoints, cuda=cuda),
        train_dataset=Dataset.from_dict(rows),
        processing_class=tokenizer,
        callbacks=[watch],
    )
    trainable_in_fp32(model)
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def _step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def _arguments(recipe: Recipe, checkpoints: Path, *, cuda: bool) -> SFTConfig:
    optim = recipe.optim
    name = ("paged_adamw_8bit" if cuda else "adamw_torch") if optim.name == "auto" else optim.name
    checkpointing = cuda if recipe.gradient_checkpointing == "auto" else recipe.gradient_checkpointing
    return SFTConfig(
        output_dir=str(checkpoints),
        num_train_epochs=recipe.epochs,
        max_steps=recipe.max_steps or -1,
        per_device_train_batch_size=recipe.batch_size,
        gradient_accumulation_steps=recipe.accumulation,
        learning_rate=optim.learning_rate,
        lr_scheduler_type=optim.schedule,
        warmup_steps=optim.warmup,  # below 1 it is a fraction of the steps (transformers 5)
        weight_decay=optim.weight_decay,
        max_grad_norm=optim.max_grad_norm,
        optim=name,
        bf16=computes_in_bf16(cuda=cuda),
        use_cpu=not cuda,
        seed=recipe.seed,
        gradient_checkpointing=checkpointing,
        gradient_checkpointing_kwargs={"use_reentrant": False} if checkpointing else None,
        max_length=None,  # rows that are too long were left out before
        completion_only_loss=True,
        logging_steps=recipe.output.log_every,
        save_strategy="steps",
        save_steps=recipe.output.save_every,
        save_total_limit=2,
        dataloader_pin_memory=cuda,
        disable_tqdm=True,
        report_to="none",
    )


def score_before(
    folder: RunFolder, examples: Sequence[Example], model: "PeftModel", watch: Watch, screen: Screen
) -> HeldOutScore:
    """Score the base, or read what was scored before a kill."""
    for line in read_metrics(folder.metrics):
        if line["step"] == 0 and "held_out_loss" in line:
            return HeldOutScore(line["held_out_loss"], line["held_out_token_accuracy"], len(examples))
    screen.stage("scoring held-out before training", len(examples))
    held_out = score(model, examples, screen.step)
    watch.write_score(0, held_out)
    return held_out
