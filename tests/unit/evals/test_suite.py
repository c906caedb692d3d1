import json
from pathlib import Path

import pytest

from evals.errors import InvalidSuite
from evals.suite import read_suite

ROW = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "{}"}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(ROW) + "\n" for _ in range(3)))
    (tmp_path / "schema.json").write_text("{}")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    file = folder / "suite.toml"
    file.write_text(text)
    return file


def test_a_suite_is_read_with_its_items(folder: Path) -> None:
    text = 'name = "t"\ndata = "data.jsonl"\nlimit = 2\nschema = "schema.json"\nmetrics = ["schema_valid"]\n'
    suite = read_suite(write(folder, text))
    assert [item.id for item in suite.items] == [1, 2]
    assert suite.items[0].messages == ({"role": "user", "content": "q"},)
    assert suite.items[0].expected == "{}"


def test_the_digest_is_of_what_is_asked_and_demanded(folder: Path) -> None:
    first = read_suite(write(folder, 'name = "t"\ndata = "data.jsonl"\n')).digest
    (folder / "data.jsonl").rename(folder / "moved.jsonl")
    assert read_suite(write(folder, 'name = "t"\ndata = "moved.jsonl"\n')).digest == first
    assert read_suite(write(folder, 'name = "t"\ndata = "moved.jsonl"\nlimit = 1\n')).digest != first
    stricter = 'name = "t"\ndata = "moved.jsonl"\n[gate]\nexact_match = { min = 0.5 }\n'
    assert read_suite(write(folder, stricter)).digest != first


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name =", "is not TOML"),
        ('name = "t"', "data: Field required"),
        ('name = "t"\ndata = "data.jsonl"\nlimits = 3', "unknown key limits, did you mean limit?"),
        ('name = "t"\ndata = "data.jsonl"\nlimit = 0', "limit: "),
        ('name = "t"\ndata = "none.jsonl"', "does not exist"),
        ('name = "t"\ndata = "data.jsonl"\nmetrics = ["schema_valid"]', "needs the key schema"),
        ('name = "t"\ndata = "data.jsonl"\n[gate]\nfield_f1 = { min = 1 }', "which metrics does not measure"),
        ('name = "t"\ndata = "data.jsonl"\n[gate]\nexact_match = { min = 2 }', "gate.exact_match.min"),
    ],
)
def test_a_wrong_suite_is_one_line(folder: Path, text: str, reason: str) -> None:
    with pytest.raises(InvalidSuite, match=reason) as error:
        read_suite(write(folder, text))
    assert "\n" not in error.value.message


@pytest.mark.parametrize("line", ["{", "[]", '{"messages": []}', '{"messages": [{"role": "user", "content": "q"}]}'])
def test_a_broken_line_is_named(folder: Path, line: str) -> None:
    with (folder / "data.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(InvalidSuite, match=":4:"):
        read_suite(write(folder, 'name = "t"\ndata = "data.jsonl"\n'))
