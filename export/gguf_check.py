"""Proof that a GGUF speaks as its tokenizer does: chat template, tokens, and where an answer ends."""

import json
from dataclasses import dataclass
from pathlib import Path

from export.errors import ConversionFailed
from export.llama import Vocabulary

PLAIN = (
    {"role": "user", "content": "Where is the 2nd parcel for 1204 W. Main St., Apt 5?"},
    {"role": "assistant", "content": '{"street": "Main", "number": 1204}'},
    {"role": "user", "content": "Thank you!\nAnd the other one?"},
)
"""A conversation that every tokenizer of the model has to cut alike, or it was trained on other tokens."""

HARD = "Où est Zoë's  2nd parcel?\n\t12,5 kg – «naïve» 漢字 🙂   \n\n ok"
"""What pre-tokenizers disagree on: runs of blanks before digits, accents, quotes, scripts, emoji."""


@dataclass(frozen=True, slots=True)
class Speech:
    """What decides how a model is spoken to, as its Hugging Face folder says.

    Attributes:
        template: the chat template's text, or ``""``.
        stops: ids that end an answer.
        texts: ``PLAIN``, rendered with the template where there is one, and ``HARD``.
        tokens: ids of both texts.
    """

    template: str
    stops: tuple[int, ...]
    texts: tuple[str, str]
    tokens: tuple[tuple[int, ...], tuple[int, ...]]


def check(gguf: Path, model: Path) -> list[str]:
    """Compare the file with the Hugging Face folder that it was made from.

    Returns:
        Differences that only rare text shows, in words; they are noted, not refused.

    Raises:
        ConversionFailed: chat template, stop tokens or the tokens of plain text differ.
    """
    speech = speech_of(model)
    with Vocabulary(gguf) as vocabulary:
        if vocabulary.template != speech.template:
            raise ConversionFailed("The GGUF's chat template is not the tokenizer's.")
        running = [stop for stop in speech.stops if not vocabulary.ends(stop)]
        if running:
            raise ConversionFailed(f"llama.cpp would not stop at the tokens {running}, which end the model's answers.")
        plain, hard = (vocabulary.tokens(text) for text in speech.texts)
    if plain != speech.tokens[0]:
        raise ConversionFailed("The GGUF cuts plain text into other tokens than the tokenizer does.")
    if hard != speech.tokens[1]:
        return ["The GGUF cuts rare text (blanks before digits, accents, emoji) into other tokens than the tokenizer."]
    return []


def speech_of(model: Path) -> Speech:
    """Read a Hugging Face folder's tokenizer, chat template and stop tokens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    template = tokenizer.chat_template or ""
    stops = {tokenizer.eos_token_id, *_generation_stops(model)} - {None}
    plain = "\n".join(turn["content"] for turn in PLAIN)
    if template:
        plain = str(tokenizer.apply_chat_template(list(PLAIN), tokenize=False, add_generation_prompt=True))
    plain_ids, hard_ids = (tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (plain, HARD))
    return Speech(template, tuple(sorted(stops)), (plain, HARD), (plain_ids, hard_ids))


def _generation_stops(model: Path) -> list[int]:
    file = model / "generation_config.json"
    stops = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id") if file.is_file() else None
    return stops if isinstance(stops, list) else [] if stops is None else [stops]
