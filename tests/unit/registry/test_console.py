"""What people read is what was written, and what the disk refuses is one line."""

from pathlib import Path

import pytest

from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from tests.unit.registry.conftest import MakeAdapter
from tests.unit.registry.test_replicas import run


@pytest.mark.parametrize("note", ["ends with [/INST] now", "[bold] and :100:"])
def test_text_in_square_brackets_is_shown_as_it_is(
    embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter, note: str
) -> None:
    embedded.versions.push(make_adapter(1), "support", actor="ada", base=base, note=note)
    listed = run(embedded, "list", "support")
    assert (listed.exit_code, note in listed.stdout) == (0, True), listed.output


def test_a_path_that_cannot_be_is_one_line(
    embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    embedded.versions.push(make_adapter(1), "support", actor="ada", base=base)
    (tmp_path / "file").touch()
    done = run(embedded, "pull", "support:1", "--out", str(tmp_path / "file" / "below"))
    assert (done.exit_code, done.stderr.count("\n"), done.stderr.startswith("Error: ")) == (1, 1, True), done.stderr


def test_text_that_is_not_utf_8_is_one_line(
    embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    embedded.versions.push(make_adapter(1), "support", actor="ada", base=base)
    done = run(embedded, "deprecate", "support:1", "--reason", "bad \udcff")
    assert (done.exit_code, "UTF-8" in done.stderr) == (2, True), done.output
