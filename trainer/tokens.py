"""Tokens: chats as the model sees them, with the answer marked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer.data import Chat
from trainer.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class Example:
    """One chat in tokens.

    Attributes:
        ids: prompt, answer and end of turn.
        prompt_length: how many of them are the prompt; the rest is what the loss is taken on.
    """

    ids: list[int]
    prompt_length: int

    @property
    def mask(self) -> list[int]:
        """1 where the loss is taken."""
        return [0] * self.prompt_length + [1] * (len(self.ids) - self.prompt_length)


def tokenize(tokenizer: "PreTrainedTokenizerBase", chat: Chat) -> Example:
    """Render a chat with the base's template; the answer is what stands behind the prompt.

    Raises:
        DataError: the template does not put the answer behind the prompt, so a loss mask would be wrong.
    """
    prompt: Any = tokenizer.apply_chat_template(list(chat.prompt), add_generation_prompt=True, return_dict=False)
    whole: Any = tokenizer.apply_chat_template(list(chat.messages), return_dict=False)
    if whole[: len(prompt)] != prompt or len(whole) == len(prompt):
        raise DataError(
            "The base's chat template does not put the answer behind the prompt, so the loss mask would be wrong.",
            "Use a base whose template renders a conversation as a continuation of its prompt.",
        )
    # What the template writes behind the end of turn (a line break, mostly) is never generated: engines stop before.
    end = max((place for place, token in enumerate(whole) if token == tokenizer.eos_token_id), default=-1)
    return Example(whole[: end + 1] if end >= len(prompt) else whole, len(prompt))


def tokenize_all(
    tokenizer: "PreTrainedTokenizerBase", chats: Sequence[Chat], max_length: int
) -> tuple[list[Example], int]:
    """Tokenise every chat; those longer than ``max_length`` are left out, since a cut answer teaches to stop short.

    Returns:
        The examples, and how many were left out.

    Raises:
        DataError: none is short enough.
    """
    examples = [tokenize(tokenizer, chat) for chat in chats]
    fitting = [example for example in examples if len(example.ids) <= max_length]
    if not fitting:
        shortest = min(len(example.ids) for example in examples)
        raise DataError(
            f"Every row is longer than max_length = {max_length} tokens; the shortest has {shortest}.",
            f"adaptory train RECIPE.toml --set max_length={max(len(example.ids) for example in examples)}",
        )
    return fitting, len(examples) - len(fitting)
