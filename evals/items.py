"""Item: one question of a suite, with the answer that was expected."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.errors import InvalidSuite


@dataclass(frozen=True, slots=True)
class Item:
    """One held-out row.

    Attributes:
        id: line number in the data file, from 1.
        messages: the conversation up to the answer, in OpenAI's form.
        expected: the answer.
    """

    id: int
    messages: tuple[dict[str, str], ...]
    expected: str


def read_items(file: Path, limit: int | None) -> tuple[Item, ...]:
    """Read chat JSONL: the last message of each line is the expected answer.

    Args:
        file: the data.
        limit: how many lines to take from the top; None for all.

    Raises:
        InvalidSuite: the file is missing, empty, or a line is broken; it names the line.
    """
    if not file.is_file():
        raise InvalidSuite(f"The suite's data {file} does not exist.", "Make it first, or correct `data` in the suite.")
    with file.open(encoding="utf-8") as stream:
        lines = [(number, line) for number, line in enumerate(stream, 1) if line.strip()]
    items = tuple(_item(file, number, line) for number, line in lines[:limit])
    if not items:
        raise InvalidSuite(f"The suite's data {file} is empty.")
    return items


def _item(file: Path, number: int, line: str) -> Item:
    try:
        document: Any = json.loads(line)
        messages = [{"role": str(entry["role"]), "content": str(entry["content"])} for entry in document["messages"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidSuite(f'{file}:{number}: {{"messages": [...]}} was expected ({error!r}).') from error
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise InvalidSuite(f"{file}:{number}: the last message must be the assistant's answer.")
    return Item(number, tuple(messages[:-1]), messages[-1]["content"])
