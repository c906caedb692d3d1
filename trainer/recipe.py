"""Recipe: what to train on what, and how. The defaults are what the field has settled on for QLoRA.

Sources of the defaults: QLoRA (arXiv:2305.14314) for NF4, double quantisation and all linear layers; "LoRA Without
Regret" (Thinking Machines, 2025) for all linear layers and a rate about ten times that of full training.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

MAX_RANK = 512  # the largest max_lora_rank that vLLM takes

UNSERVABLE = {
    "modules_to_save": "engines serve low-rank weights only; whole modules cannot be swapped",
    "bias": "engines refuse adapters with biases",
    "lora_bias": "engines refuse adapters with biases",
    "init_lora_weights": "engines refuse PiSSA, OLoRA, CorDA and LoftQ adapters, since these change the base",
    "rank_pattern": "one rank for all layers is what a slot holds",
    "layers_to_transform": "use target_modules",
}
"""Keys that PEFT knows and that we leave out -> why."""


class Strict(BaseModel):
    """A table of the recipe: unknown keys and wrong types are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Lora(Strict):
    """``[lora]``: the shape of the adapter."""

    rank: Annotated[int, Field(ge=1, le=MAX_RANK)] = 16
    """r, the inner dimension."""
    alpha: Annotated[float, Field(gt=0)] | None = None
    """The update is scaled by alpha / rank; by default alpha is the rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    target_modules: Literal["all-linear"] | list[str] = "all-linear"
    """Names of the linear layers it changes, such as ``["q_proj", "v_proj"]``."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(rank) instead (arXiv:2312.03732)."""
    use_dora: bool = False

    @field_validator("use_dora")
    @classmethod
    def _servable(cls, value: bool) -> bool:
        if value:
            raise ValueError("vLLM refuses DoRA adapters; leave it out, and raise lora.rank if the adapter is too weak")
        return value

    @property
    def scale_alpha(self) -> float:
        """Alpha with its default filled in."""
        return float(self.rank) if self.alpha is None else self.alpha


class Optim(Strict):
    """``[optim]``: how the adapter is fitted."""

    name: Literal["auto", "adamw_torch", "adamw_8bit", "paged_adamw_8bit"] = "auto"
    """``auto``: paged_adamw_8bit on CUDA, adamw_torch on the CPU."""
    learning_rate: Annotated[float, Field(gt=0, lt=1)] = 2e-4
    schedule: Literal["linear", "cosine", "constant_with_warmup"] = "linear"
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Fraction of the steps over which the rate rises."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    max_grad_norm: Annotated[float, Field(gt=0)] = 1.0


class Output(Strict):
    """``[output]``: what is written along the way."""

    log_every: Annotated[int, Field(ge=1)] = 1
    """Steps between lines of metrics.jsonl."""
    save_every: Annotated[int, Field(ge=1)] = 50
    """Steps between checkpoints, from which ``--resume`` goes on."""
    score_rows: Annotated[int, Field(ge=1)] = 64
    """Held-out rows that are scored before, during and after training."""
    scores: Annotated[int, Field(ge=0)] = 4
    """How many times held-out is scored along the way."""


class Recipe(Strict):
    """A training run; paths are relative to the recipe file."""

    base: str
    """Name of a prepared base."""
    name: Annotated[str, Field(pattern=r"^[\w][\w.-]*$")] | None = None
    """The run folder is ``runs/<name>``; by default the recipe file's name without ``.toml``."""
    data: str
    """JSONL file of chats; the last message of each is the answer to learn."""
    held_out: str | Annotated[float, Field(gt=0, lt=1)] = 0.1
    """JSONL file of chats that are scored and never trained on, or the fraction of ``data`` to set aside."""
    init_from: str | None = None
    """A run folder whose adapter is trained further, with its own ``[lora]``."""
    epochs: Annotated[float, Field(gt=0)] = 2.0
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Stop after so many optimiser steps, whatever ``epochs`` says."""
    batch_size: Annotated[int, Field(ge=1)] = 2
    accumulation: Annotated[int, Field(ge=1)] = 8
    """Batches per optimiser step."""
    max_length: Annotated[int, Field(ge=16)] = 2048
    """Tokens of prompt and answer together; longer rows are left out."""
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """Less memory for about a third more time; ``auto``: on CUDA only."""
    seed: Annotated[int, Field(ge=0)] = 3407
    lora: Lora = Lora()
    optim: Optim = Optim()
    output: Output = Output()

    @model_validator(mode="before")
    @classmethod
    def _whole_numbers_are_numbers(cls, document: object) -> object:
        """TOML tells 2 from 2.0; people do not."""
        if isinstance(document, dict) and isinstance(epochs := document.get("epochs"), int):
            return document | {"epochs": float(epochs)}
        return document
