"""Chat data: read it, prove every line, set some of it aside."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.canonical import canonical_json, digest_document
from registry.refs import shown
from trainer.errors import DataError

ROLES = ("system", "user", "assistant")
FORM = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'

Message = dict[str, str]


@dataclass(frozen=True, slots=True)
class Chat:
    """One example; the last message is the answer to learn."""

    messages: tuple[Message, ...]

    @property
    def prompt(self) -> tuple[Message, ...]:
        """All but the answer."""
        return self.messages[:-1]

    @property
    def prompt_key(self) -> bytes:
        """Equal for chats that ask the same."""
        return canonical_json(list(self.prompt))


@dataclass(frozen=True, slots=True)
class Data:
    """What is trained on and what is held out."""

    train: tuple[Chat, ...]
    held_out: tuple[Chat, ...]

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` over the canonical rows of both sides."""
        sides = {"train": self.train, "held_out": self.held_out}
        return digest_document({side: [list(chat.messages) for chat in chats] for side, chats in sides.items()})

    @property
    def leaked(self) -> int:
        """How many held-out rows ask what a training row asks."""
        asked = {chat.prompt_key for chat in self.train}
        return sum(chat.prompt_key in asked for chat in self.held_out)


def load_data(data: Path, held_out: Path | float, seed: int) -> Data:
    """Read both sides, or split one file.

    Raises:
        DataError: the first broken line, with the number of others.
    """
    chats = read_chats(data)
    if isinstance(held_out, Path):
        return Data(chats, read_chats(held_out))
    return split(chats, held_out, seed)


def split(chats: Sequence[Chat], fraction: float, seed: int) -> Data:
    """Set a fraction aside, at least one row; rows that ask the same stay on one side.

    Raises:
        DataError: nothing would be left to train on.
    """
    questions = sorted({chat.prompt_key for chat in chats})
    random.Random(seed).shuffle(questions)  # noqa: S311 - a split, not a secret
    aside = set(questions[: max(1, round(len(questions) * fraction))])
    train = tuple(chat for chat in chats if chat.prompt_key not in aside)
    if not train:
        raise DataError(f"{len(questions)} distinct prompts are too few to hold any out.", "Add rows to the data file.")
    return Data(train, tuple(chat for chat in chats if chat.prompt_key in aside))


def read_chats(path: Path) -> tuple[Chat, ...]:
    """Read a JSONL file of chats; empty lines are skipped.

    Raises:
        DataError: there is no such file, it is empty, or a line is broken.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", "Check data and held_out in the recipe.") from None
    chats: list[Chat] = []
    broken: list[str] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                chats.append(parse_chat(line))
            except ValueError as error:
                broken.append(f"{path}:{number}: {error}")
    if broken:
        more = f" ({len(broken) - 1} more broken lines)" if len(broken) > 1 else ""
        raise DataError(f"{broken[0]}{more}", f"A line looks like {FORM}")
    if not chats:
        raise DataError(f"{path} has no rows.", f"A line looks like {FORM}")
    return tuple(chats)


def parse_chat(line: bytes) -> Chat:
    """Read one line.

    Raises:
        ValueError: it is no chat; the text says why.
    """
    try:
        document = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}.") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}.") from None
    messages = document.get("messages") if isinstance(document, dict) else None
    if not isinstance(messages, list) or len(messages) < 2:
        raise ValueError("no list of at least two messages under the key messages.")
    return Chat(tuple(_message(message, index, len(messages)) for index, message in enumerate(messages)))


def _message(message: Any, index: int, count: int) -> Message:
    if not isinstance(message, dict) or set(message) != {"role", "content"}:
        raise ValueError(f"message {index + 1} needs the keys role and content, and no others.")
    role, content = message["role"], message["content"]
    if role not in ROLES:
        raise ValueError(f"message {index + 1} has the role {shown(str(role))}; expected one of {', '.join(ROLES)}.")
    if role == "system" and index > 0:
        raise ValueError("a system message can only stand first.")
    if not isinstance(content, str) or not content.strip():
        raise ValueError(f"message {index + 1} has no text.")
    if index == count - 1 and role != "assistant":
        raise ValueError(f"the last message is the answer, so its role is assistant, not {role}.")
    return {"role": role, "content": content}
