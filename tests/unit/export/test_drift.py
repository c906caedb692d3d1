import json
from pathlib import Path
from typing import Any

from export.drift import Reading, compare
from export.prompts import QUESTIONS, ROWS, Messages, prompts_for
from trainer.data import load_data
from trainer.recipe_file import read_recipe


def test_drift_of_equal_and_of_different_answers() -> None:
    reference = [Reading((-1.0, -2.0), (5, 6)), Reading((-3.0, -4.0), (7, 8))]
    assert compare(reference, reference) == {
        "mean_abs_logprob": 0,
        "top1_agreement": 1,
        "tokens": 4,
        "prompts": 2,
    }
    other = [Reading((-1.5, -2.0), (5, 0)), Reading((-3.0, -3.5), (7, 8))]
    drift = compare(reference, other)
    assert (drift["mean_abs_logprob"], drift["top1_agreement"]) == (0.25, 0.75)


def test_held_out_rows_are_asked_without_their_answers_while_they_are_the_run_s(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": "ü"}, {"role": "assistant", "content": "a"}]}
    for name, rows in (("train", 1), ("held_out", ROWS + 5)):
        (tmp_path / f"{name}.jsonl").write_text(f"{json.dumps(row)}\n\n" * rows, encoding="utf-8")
    (tmp_path / "recipe.toml").write_text('base = "tiny"\ndata = "train.jsonl"\nheld_out = "held_out.jsonl"\n')
    written = read_recipe(tmp_path / "recipe.toml")
    digest = load_data(tmp_path / written.data, tmp_path / str(written.held_out), 1).digest

    def prompts(recipe: dict[str, Any]) -> tuple[list[Messages], str]:
        return prompts_for(recipe, {"digest": digest})

    recipe = {"data": str(tmp_path / written.data), "held_out": str(tmp_path / str(written.held_out))}
    assert prompts(recipe) == ([[{"role": "user", "content": "ü"}]] * ROWS, "held-out rows of the run")
    others: tuple[dict[str, Any], ...] = ({}, recipe | {"held_out": 0.1}, recipe | {"held_out": str(tmp_path / "gone")})
    for other in others:
        assert prompts(other)[1] == "fixed questions"
    for changed in (json.dumps(row), "no chats", "7", "{}"):
        (tmp_path / "train.jsonl").write_text(f"{changed}\n" * 2, encoding="utf-8")
        assert prompts(recipe)[1] == "fixed questions"
    assert len(QUESTIONS) == ROWS
