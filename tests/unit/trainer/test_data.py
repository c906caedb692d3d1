import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.data import Chat, load_data, parse_chat, read_chats, split
from trainer.errors import DataError


def chat(question: str, answer: str = "a") -> Chat:
    return Chat(({"role": "user", "content": question}, {"role": "assistant", "content": answer}))


def line(*messages: object) -> str:
    return json.dumps({"messages": list(messages)})


USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
GOOD = line({"role": "system", "content": "s"}, USER, ANSWER)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "no list of at least two messages"),
        (line(USER), "no list of at least two messages"),
        (line(ANSWER, USER), "the last message is the answer"),
        (line(USER, {"role": "assistant"}), "needs the keys role and content"),
        (line(USER, {"role": "assistant", "content": " "}), "message 2 has no text"),
        (line({"role": "robot", "content": "x"}, ANSWER), "has the role 'robot'"),
        (line(USER, {"role": "system", "content": "x"}, ANSWER), "system message can only stand first"),
    ],
)
def test_a_broken_line_is_told_with_file_line_and_reason(tmp_path: Path, broken: str, reason: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(f"{GOOD}\n\n{broken}\n{broken}\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_chats(path)
    assert caught.value.message.startswith(f"{path}:3: ")
    assert reason in caught.value.message
    assert caught.value.message.endswith("(1 more broken lines)")
    assert "\n" not in caught.value.message


def test_missing_empty_and_foreign_bytes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_chats(tmp_path / "absent.jsonl")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n", encoding="utf-8")
    with pytest.raises(DataError, match="no rows"):
        read_chats(empty)
    with pytest.raises(ValueError, match="not UTF-8 at byte 1"):
        parse_chat(b'"\xff"')


@given(
    questions=st.lists(st.text(min_size=1, max_size=3), min_size=2, max_size=40).filter(lambda qs: len(set(qs)) > 1),
    fraction=st.floats(0.01, 0.5),
    seed=st.integers(0, 99),
)
def test_a_split_is_whole_repeatable_and_without_leaks(questions: Sequence[str], fraction: float, seed: int) -> None:
    chats = [chat(question) for question in questions]
    data = split(chats, fraction, seed)
    assert data.train
    assert data.held_out
    assert data.leaked == 0
    assert len(data.train) + len(data.held_out) == len(chats)
    assert split(chats, fraction, seed).digest == data.digest


def test_the_digest_is_of_the_content_on_both_sides(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.jsonl", "b.jsonl", "held.jsonl")]
    other_spacing = json.dumps(json.loads(GOOD), indent=None, separators=(",", ":"))
    for path, text in zip(paths, (GOOD, other_spacing, line(USER, ANSWER)), strict=True):
        path.write_text(text + "\n", encoding="utf-8")
    first, second, held_out = paths
    assert load_data(first, held_out, 1).digest == load_data(second, held_out, 2).digest
    assert load_data(first, held_out, 1).digest != load_data(held_out, first, 1).digest
    assert load_data(first, first, 1).leaked == 1


def test_one_prompt_cannot_be_split() -> None:
    with pytest.raises(DataError, match="too few"):
        split([chat("q"), chat("q")], 0.5, 1)
