"""Score held-out examples, teacher forced: how likely is each token of the expected answer."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from trainer.tokens import Example

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

BATCH = 8


@dataclass(frozen=True, slots=True)
class HeldOutScore:
    """Over all answer tokens of the scored rows.

    Attributes:
        loss: mean negative log-likelihood of a token, nats.
        token_accuracy: fraction of tokens that are the model's first choice.
        rows: how many rows were scored.
    """

    loss: float
    token_accuracy: float
    rows: int

    def to_json(self) -> dict[str, float | int]:
        """The form of record.json."""
        return asdict(self)


def score(
    model: "Module", examples: Sequence[Example], on_rows: Callable[[int], None] = lambda _: None
) -> HeldOutScore:
    """Score ``examples``; ``on_rows`` hears how many are done, and the model is left in the mode it was in."""
    import torch

    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    loss, right, count = 0.0, 0, 0
    by_length = sorted(examples, key=lambda example: len(example.ids))
    with torch.inference_mode():
        for start in range(0, len(by_length), BATCH):
            batch = by_length[start : start + BATCH]
            ids, mask, labels = (tensor.to(device) for tensor in _pad(batch))
            # Logits of the prompts would take most of the memory and are not looked at.
            wanted = labels[:, min(example.prompt_length for example in batch) :]
            kept = wanted.shape[1] + 1
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=kept).logits[:, :-1]
            answer = wanted != -100
            chosen = logits[answer].float()
            loss += float(torch.nn.functional.cross_entropy(chosen, wanted[answer], reduction="sum"))
            right += int((chosen.argmax(-1) == wanted[answer]).sum())
            count += int(answer.sum())
            on_rows(start + len(batch))
    model.train(was_training)
    return HeldOutScore(loss / count, right / count, len(examples))


def _pad(batch: Sequence[Example]) -> "tuple[Tensor, Tensor, Tensor]":
    """Right-pad to (rows, tokens): ids, attention mask, labels with -100 where no loss is taken."""
    import torch

    length = max(len(example.ids) for example in batch)
    ids = torch.zeros(len(batch), length, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full_like(ids, -100)
    for row, example in enumerate(batch):
        size = len(example.ids)
        tokens = torch.tensor(example.ids)
        ids[row, :size] = tokens
        mask[row, :size] = 1
        labels[row, example.prompt_length : size] = tokens[example.prompt_length :]
    return ids, mask, labels
