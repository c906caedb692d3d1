"""What drift is measured on: the run's held-out rows where they are still here, otherwise a few plain questions."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from registry.canonical import digest_document

Messages = Sequence[Mapping[str, str]]

ROWS = 24

QUESTIONS = (
    "What is the capital of France?",
    "Write one sentence about the sea.",
    "List three fruits.",
    "Translate to German: The train is late.",
    "What is 17 plus 25?",
    "Explain in one sentence why the sky is blue.",
    "Give the opposite of 'cold'.",
    "Parse this address: 1204 W Main St Apt 5, Springfield IL 62701",
    "Return a JSON object with the keys name and age for Ann, 34 years old.",
    "Which month follows March?",
    "Write a polite reply to: My parcel has not arrived.",
    "Name a prime number above 20.",
    "Summarise: The meeting was moved from Monday to Thursday because the room was taken.",
    "What language is spoken in Brazil?",
    "Write a Python line that sorts the list x.",
    "Correct the spelling: recieve, seperate.",
    "Is a tomato a fruit or a vegetable?",
    "Give a title for a story about a lost dog.",
    "Classify the mood: I love this place!",
    "How many minutes are there in two hours?",
    "Who wrote Hamlet?",
    "Extract the date: The invoice is due on 3 May 2024.",
    "Write a haiku about rain.",
    "What does HTTP stand for?",
)


def prompts_for(recipe: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[list[Messages], str]:
    """What to ask, and where it is from, for the artifact's record.

    Rows are taken only where the run's two files still have the digest that the trainer recorded: on another machine
    the same paths may be other files.

    Args:
        recipe: the version's resolved recipe, or empty.
        data: the version's record of its data, or empty.
    """
    named = {side: recipe.get(key) for side, key in (("train", "data"), ("held_out", "held_out"))}
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        sides = {side: _chats(Path(path)) for side, path in named.items() if isinstance(path, str)}
        if len(sides) == len(named) and digest_document(sides) == data.get("digest"):
            return [chat[:-1] for chat in sides["held_out"][:ROWS]], "held-out rows of the run"
    return [[{"role": "user", "content": question}] for question in QUESTIONS], "fixed questions"


def _chats(file: Path) -> list[Messages]:
    """Every row's messages, as the trainer reads them; none of what is no file."""
    lines = file.read_bytes().splitlines() if file.is_file() else []
    return [json.loads(line)["messages"] for line in lines if line.strip()]
