"""For all unit tests: a registry with nothing in it, copied instead of made, which is most of a short test's time."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from registry.embedded.registry import EmbeddedRegistry


@pytest.fixture(scope="session")
def empty_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a registry as it is made."""
    folder = tmp_path_factory.mktemp("empty") / "registry"
    EmbeddedRegistry(folder).close()
    return folder


@pytest.fixture
def embedded(empty_folder: Path, tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    """A registry with nothing in it, in ``tmp_path / "registry"``."""
    opened = EmbeddedRegistry(shutil.copytree(empty_folder, tmp_path / "registry"))
    yield opened
    opened.close()
