"""RunFolder: where a run is written; complete under its name, unfinished under ``<name>.partial``."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from trainer.errors import RunExists

_CHECKPOINT_FILES = ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "trainer_state.json")


@dataclass(frozen=True, slots=True)
class RunFolder:
    """One run's place on disk.

    Attributes:
        path: the finished run.
    """

    path: Path

    @property
    def partial(self) -> Path:
        """The unfinished run, beside it."""
        return self.path.with_name(f"{self.path.name}.partial")

    @property
    def checkpoints(self) -> Path:
        """What ``--resume`` goes on from."""
        return self.partial / "checkpoints"

    @property
    def metrics(self) -> Path:
        """A line for each logged step."""
        return self.partial / "metrics.jsonl"

    @property
    def plan(self) -> Path:
        """What the run is of, to prove that ``--resume`` goes on with the same."""
        return self.partial / "plan.json"

    def check_free(self, *, resume: bool) -> None:
        """Prove that the run can be written.

        Raises:
            RunExists: it is there already, or is unfinished, or there is nothing to resume.
        """
        if self.path.exists():
            raise RunExists(f"{self.path} exists already.", "Name another folder with --out, or remove it.")
        if resume and not self.partial.exists():
            raise RunExists(f"There is no unfinished run at {self.partial}.", "Leave out --resume to start one.")
        if self.partial.exists() and not resume:
            raise RunExists(
                f"An unfinished run is at {self.partial}.", "Add --resume to go on with it, or remove that folder."
            )

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes out of the partial folder while the block runs.

        Raises:
            RunExists: another process trains into it.
        """
        self.partial.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.partial / ".lock", timeout=0):
                yield
        except Timeout:
            raise RunExists(f"Another process trains into {self.partial} now.", "Wait for it to end.") from None

    def start(self, plan: dict[str, Any]) -> None:
        """Write what the run is of, or prove that an unfinished run is of the same.

        Raises:
            RunExists: something changed since the run began.
        """
        if not self.plan.is_file():
            self.plan.write_text(json.dumps(plan), encoding="utf-8")
            return
        before = json.loads(self.plan.read_text(encoding="utf-8"))
        changed = [key for key in plan if before.get(key) != plan[key]]
        if changed:
            raise RunExists(
                f"The unfinished run at {self.partial} is of another {' and '.join(changed)}.",
                "Undo the change, or remove that folder to start anew.",
            )

    def last_checkpoint(self) -> Path | None:
        """The newest whole checkpoint; what a kill left half-written is removed."""
        whole: dict[int, Path] = {}
        for folder in self.checkpoints.glob("checkpoint-*"):
            if all(_complete(folder / name) for name in _CHECKPOINT_FILES):
                whole[int(folder.name.rpartition("-")[2])] = folder
            else:
                shutil.rmtree(folder)
        return whole[max(whole)] if whole else None

    def cut_metrics(self, step: int) -> None:
        """Drop the metrics of steps that will be done again."""
        kept = [line for line in read_metrics(self.metrics) if line["step"] <= step]
        self.metrics.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def finish(self) -> None:
        """Give the run its name: the last act."""
        self.plan.unlink(missing_ok=True)
        (self.partial / ".lock").unlink(missing_ok=True)
        self.partial.rename(self.path)


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line that a kill cut short is left out."""
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def _complete(file: Path) -> bool:
    if not file.is_file() or not file.stat().st_size:
        return False
    if file.suffix == ".json":
        try:
            json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            return False
    return True
