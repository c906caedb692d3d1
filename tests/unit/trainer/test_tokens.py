from typing import Any

import pytest

from trainer.data import Chat
from trainer.errors import DataError
from trainer.tokens import tokenize, tokenize_all

END = 0


class Letters:
    """A tokenizer of one token a letter, with a template like those of real models; ``END`` closes a turn."""

    eos_token_id = END

    def __init__(self, *, faithful: bool = True) -> None:
        self._faithful = faithful

    def apply_chat_template(
        self, messages: list[dict[str, str]], *, add_generation_prompt: bool = False, return_dict: bool
    ) -> list[int]:
        assert not return_dict
        ids = [] if self._faithful else [len(messages)]
        for message in messages:
            ids += [ord(message["role"][0]), *map(ord, message["content"]), END, ord("\n")]
        return [*ids, ord("a")] if add_generation_prompt else ids


def chat(question: str, answer: str) -> Chat:
    return Chat(({"role": "user", "content": question}, {"role": "assistant", "content": answer}))


def words(ids: list[int]) -> str:
    return "".join("." if token == END else chr(token) for token in ids)


def letters(**options: bool) -> Any:
    return Letters(**options)


def test_the_loss_is_on_the_answer_and_its_end_alone() -> None:
    example = tokenize(letters(), chat("hi", "yes"))
    assert words(example.ids) == "uhi.\nayes."
    assert words([token for token, marked in zip(example.ids, example.mask, strict=True) if marked]) == "yes."


def test_a_template_that_would_spoil_the_mask_is_refused() -> None:
    with pytest.raises(DataError, match="loss mask would be wrong"):
        tokenize(letters(faithful=False), chat("hi", "yes"))


def test_long_rows_are_left_out_whole() -> None:
    chats = [chat("hi", "yes"), chat("hi", "y" * 50)]
    examples, left_out = tokenize_all(letters(), chats, 20)
    assert ([len(example.ids) for example in examples], left_out) == ([10], 1)
    with pytest.raises(DataError, match="the shortest has 10") as caught:
        tokenize_all(letters(), chats, 9)
    assert "max_length=57" in caught.value.hint
