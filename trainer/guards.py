"""Guards: the known ways in which a fine-tuning run goes wrong, each told in a sentence.

A guard that finds something returns a warning, which goes into the record and on the screen; a run whose result
would be worthless is stopped instead.
"""

import math
from collections.abc import Iterator, Sequence

from trainer.errors import UselessRun

MEMORISED_LOSS = 0.2
"""Below this, the training loss says recall rather than skill (Unsloth, fine-tuning guide)."""
MAX_EPOCHS = 3
RISE = 1.02
"""Held-out loss has risen when it stands 2 % above its lowest: less is noise between batches of scores."""
MLP = ("up_proj", "down_proj", "gate_proj", "gate_up_proj", "fc1", "fc2", "dense_h_to_4h", "dense_4h_to_h")


def before_training(
    *, epochs: float, targets: Sequence[str], linear: Sequence[str], too_long: int, leaked: int, max_length: int
) -> Iterator[str]:
    """What the plan alone tells.

    Args:
        epochs: passes over the data.
        targets: names of the layers that the adapter changes.
        linear: names of all the base's linear layers.
        too_long: rows that were left out.
        leaked: held-out rows that ask what a training row asks.
        max_length: tokens.
    """
    if epochs > MAX_EPOCHS:
        yield f"{epochs:g} epochs: after {MAX_EPOCHS}, adapters mostly memorise. Watch the held-out loss."
    if any(name in MLP for name in linear) and not any(name in MLP for name in targets):
        yield "Only attention layers are trained; all linear layers learn more at the same rank."
    if too_long:
        yield f"{too_long} rows are longer than max_length = {max_length} tokens and were left out."
    if leaked:
        yield f"{leaked} held-out rows ask what a training row asks: the held-out score is too good."


def check_loss(loss: float, step: int) -> None:
    """Stop a run that diverged.

    Raises:
        UselessRun: the loss is not a number, or infinite.
    """
    if not math.isfinite(loss):
        raise UselessRun(
            f"Training diverged: the loss is {loss} at step {step}.",
            "Lower optim.learning_rate and start anew in another folder.",
        )


def check_mask(answer_tokens: int) -> None:
    """Stop a run that has nothing to learn from.

    Raises:
        UselessRun: the loss mask is empty.
    """
    if not answer_tokens:
        raise UselessRun("No token of the data is an answer, so there is nothing to learn.", "Check the data file.")


def check_change(largest: float) -> None:
    """Stop before an adapter is saved that does nothing.

    Args:
        largest: the greatest absolute value in the B matrices, which are zero at first.

    Raises:
        UselessRun: it is zero, or not finite.
    """
    if not math.isfinite(largest):
        raise UselessRun("The adapter holds values that are no numbers.", "Lower optim.learning_rate.")
    if largest == 0:
        raise UselessRun(
            "The adapter did not change: all of its B matrices are zero.",
            "Train more steps, or raise optim.learning_rate.",
        )


def after_training(train_losses: Sequence[float], held_out_losses: Sequence[float]) -> Iterator[str]:
    """What the two curves tell.

    Args:
        train_losses: of every logged step.
        held_out_losses: of every score, the first before and the last after training.
    """
    if not train_losses or len(held_out_losses) < 2:
        return
    recent = list(train_losses[-10:])
    train, lowest = sum(recent) / len(recent), min(held_out_losses)
    before, after = held_out_losses[0], held_out_losses[-1]
    if after >= before:
        yield f"Held-out got no better: a loss of {before:.3f} before and {after:.3f} after training."
    elif train < MEMORISED_LOSS and after > lowest * RISE:
        yield (
            f"Memorising: the training loss is {train:.3f} while the held-out loss rose from {lowest:.3f} "
            f"to {after:.3f}. Train fewer epochs, or on more rows."
        )
