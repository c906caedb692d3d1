import json
from pathlib import Path

import pytest

from trainer.errors import RunExists
from trainer.run_folder import RunFolder, read_metrics

PLAN = {"recipe": "r", "base": "b", "data": "d"}
FILES = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json")


def checkpoint(folder: RunFolder, step: int, files: tuple[str, ...] = FILES) -> Path:
    path = folder.checkpoints / f"checkpoint-{step}"
    path.mkdir(parents=True)
    for name in files:
        (path / name).write_text("{}", encoding="utf-8")
    return path


def test_a_run_is_partial_until_it_is_finished(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "x")
    folder.check_free(resume=False)
    with pytest.raises(RunExists, match="no unfinished run"):
        folder.check_free(resume=True)
    with folder.held():
        folder.start(PLAN)
        assert not folder.path.exists()
    with pytest.raises(RunExists) as caught:
        folder.check_free(resume=False)
    assert "--resume" in caught.value.hint
    folder.check_free(resume=True)
    folder.finish()
    assert [path.name for path in folder.path.parent.iterdir()] == ["x"]
    for resume in (True, False):
        with pytest.raises(RunExists, match="exists already"):
            folder.check_free(resume=resume)


def test_resume_goes_on_with_the_same_plan_only(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "x")
    with folder.held():
        folder.start(PLAN)
        folder.start(PLAN)
        with pytest.raises(RunExists, match="another recipe and data"):
            folder.start(PLAN | {"recipe": "q", "data": "e"})


def test_two_processes_do_not_share_a_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "x")
    with folder.held(), pytest.raises(RunExists, match="Another process"), RunFolder(tmp_path / "x").held():
        pass


def test_the_last_whole_checkpoint_counts(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "x")
    assert folder.last_checkpoint() is None
    checkpoint(folder, 9)
    whole = checkpoint(folder, 10)
    missing = checkpoint(folder, 20, FILES[:-1])
    cut = checkpoint(folder, 30)
    (cut / "trainer_state.json").write_text('{"step', encoding="utf-8")
    assert folder.last_checkpoint() == whole
    assert not missing.exists()
    assert not cut.exists()


def test_metrics_of_steps_to_be_done_again_are_dropped(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "x")
    folder.partial.mkdir()
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in range(5)]
    folder.metrics.write_text("\n".join(lines) + '\n{"step": 5, "lo', encoding="utf-8")
    assert [line["step"] for line in read_metrics(folder.metrics)] == [0, 1, 2, 3, 4]
    folder.cut_metrics(2)
    assert [line["step"] for line in read_metrics(folder.metrics)] == [0, 1, 2]
