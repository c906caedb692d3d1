import json
from pathlib import Path

from export.drift import Reading, compare
from export.prompts import QUESTIONS, ROWS, prompts_for


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


def test_held_out_rows_are_asked_without_their_answers(tmp_path: Path) -> None:
    held_out = tmp_path / "held_out.jsonl"
    row = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    held_out.write_text(f"{json.dumps(row)}\n" * (ROWS + 5), encoding="utf-8")
    prompts, source = prompts_for({"held_out": str(held_out)})
    assert prompts == [[{"role": "user", "content": "q"}]] * ROWS
    assert source == "held-out rows of the run"
    for recipe in ({}, {"held_out": 0.1}, {"held_out": str(tmp_path / "gone.jsonl")}):
        assert prompts_for(recipe)[1] == "fixed questions"
    assert len(QUESTIONS) == ROWS
