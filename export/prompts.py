"""What drift is measured on: the run's held-out rows where they are still here, otherwise a few plain questions."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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


def prompts_for(recipe: Mapping[str, Any]) -> tuple[list[Messages], str]:
    """What to ask, and where it is from, for the artifact's record.

    Args:
        recipe: the version's resolved recipe, or empty.
    """
    named = recipe.get("held_out")
    if isinstance(named, str) and (file := Path(named)).is_file():
        with file.open(encoding="utf-8") as lines:
            rows = [json.loads(line)["messages"][:-1] for line, _ in zip(lines, range(ROWS), strict=False)]
        return rows, "held-out rows of the run"
    return [[{"role": "user", "content": question}] for question in QUESTIONS], "fixed questions"
