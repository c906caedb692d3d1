import io
import tarfile
from pathlib import Path

import pytest

from export import converter
from export.converter import SCRIPT, ensure_converter, installed_version, unpack
from registry.errors import Corrupted, MissingPackage

ROOT = "llama_cpp_python-9.9.9/vendor/llama.cpp"


def _archive(path: Path, files: dict[str, bytes], links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return path


def test_only_the_converter_is_unpacked(tmp_path: Path) -> None:
    files = {
        f"{ROOT}/{SCRIPT}": b"print()",
        f"{ROOT}/conversion/llama.py": b"x = 1",
        f"{ROOT}/gguf-py/gguf/__init__.py": b"",
        f"{ROOT}/ggml/src/ggml.c": b"int main;",
        "llama_cpp_python-9.9.9/setup.py": b"raise SystemExit",
    }
    unpack(_archive(tmp_path / "s.tar.gz", files), tmp_path / "out")
    found = sorted(file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*"))
    assert found == ["conversion/llama.py", SCRIPT, "gguf-py/gguf/__init__.py"]


@pytest.mark.parametrize(
    ("name", "link"),
    [
        (f"{ROOT}/conversion/../../../../evil.py", None),
        (f"{ROOT}/gguf-py/\x1b[31m.py", None),
        (f"{ROOT}/conversion/back\\slash.py", None),
        (f"{ROOT}/gguf-py/link", "/etc/passwd"),
        (f"{ROOT}/conversion", "/tmp"),  # noqa: S108 - a link's target that is never followed
    ],
)
def test_path_tricks_are_refused(tmp_path: Path, name: str, link: str | None) -> None:
    files = {f"{ROOT}/{SCRIPT}": b""} | ({} if link else {name: b"evil"})
    archive = _archive(tmp_path / "s.tar.gz", files, {name: link} if link else None)
    (tmp_path / "deep/er").mkdir(parents=True)
    with pytest.raises(Corrupted):
        unpack(archive, tmp_path / "deep/er/out")
    assert not list(tmp_path.rglob("evil.py"))


def test_a_bomb_and_an_empty_source_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(converter, "LIMIT", 10)
    with pytest.raises(Corrupted, match="too large"):
        unpack(_archive(tmp_path / "big.tar.gz", {f"{ROOT}/{SCRIPT}": b"x" * 11}), tmp_path / "one")
    with pytest.raises(Corrupted, match=SCRIPT):
        unpack(_archive(tmp_path / "none.tar.gz", {f"{ROOT}/README.md": b"x"}), tmp_path / "two")


def test_what_is_there_is_used_and_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / f"llama.cpp-{installed_version()}"
    there.mkdir()
    assert ensure_converter(tmp_path) == there
    monkeypatch.setattr(converter, "PACKAGE", "no-such-package-of-ours")
    with pytest.raises(MissingPackage) as caught:
        ensure_converter(tmp_path)
    assert caught.value.hint == "pip install 'adaptory[export]'"
