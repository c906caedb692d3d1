"""llama.cpp's own converter, which only the source distribution of llama-cpp-python carries.

The package ``gguf`` reads and writes files but converts nothing; a converter of another version than the library may
write what the library does not read. So it is fetched once for the installed version, and only Python is unpacked.
"""

import importlib.util
import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

from export.child import telling_line
from registry.errors import Corrupted, InvalidInput, MissingPackage, Unavailable
from registry.files import safe_path

PACKAGE = "llama-cpp-python"
SCRIPT = "convert_hf_to_gguf.py"
WANTED = (SCRIPT, "conversion", "gguf-py")
LIMIT = 64 << 20
"""Bytes that may be unpacked; 0.3.36 has 2 MiB."""


def installed_version() -> str:
    """Version of llama-cpp-python.

    Raises:
        MissingPackage: it is not installed.
    """
    try:
        return version(PACKAGE)
    except PackageNotFoundError as error:
        raise MissingPackage(PACKAGE, "export") from error


def ensure_converter(tools: Path) -> Path:
    """Folder with the converter of the installed version; downloaded with pip where it is not there yet.

    Args:
        tools: ``<home>/cache/tools``.

    Raises:
        MissingPackage: llama-cpp-python is not installed.
        Unavailable: pip is missing, or could not download.
        Corrupted: the source distribution is not what was expected.
    """
    wanted = installed_version()
    target = tools / f"llama.cpp-{wanted}"
    if target.is_dir():
        return target
    tools.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tools, prefix=".llama.cpp-") as name:
        work = Path(name)
        unpack(_download(wanted, work), work / "unpacked")
        try:
            os.rename(work / "unpacked", target)  # noqa: PTH104 - Path.rename is the same; os's error is documented
        except OSError:
            if not target.is_dir():  # somebody else was faster: theirs is as good
                raise
    return target


def unpack(source: Path, target: Path) -> None:
    """Take the converter's files out of a source distribution, and nothing else.

    Raises:
        Corrupted: a wanted entry is a link, climbs out, or is too large; or there is no converter in it.
    """
    size = 0
    target.mkdir()
    with tarfile.open(source) as archive:
        for member in archive:
            place = _place(member.name)
            if place is None or member.isdir():
                continue
            size += member.size
            if not member.isreg() or size > LIMIT:
                raise Corrupted(f"{source.name} is refused: {ascii(member.name)[:80]} is a link or too large.")
            archive.extract(member.replace(name=str(place), mode=0o644), target, filter="data")
    if not (target / SCRIPT).is_file():
        raise Corrupted(f"{source.name} has no vendor/llama.cpp/{SCRIPT}.")


def _place(name: str) -> PurePosixPath | None:
    """Where an entry goes, relative to the converter's folder; None where it is not wanted."""
    parts = PurePosixPath(name).parts
    if len(parts) < 4 or parts[1:3] != ("vendor", "llama.cpp") or parts[3] not in WANTED:
        return None
    try:
        return safe_path("/".join(parts[3:]))
    except InvalidInput as error:
        raise Corrupted(f"The source distribution is refused: {error.message}") from error


def _download(wanted: str, folder: Path) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise Unavailable("pip is not installed here; it fetches llama.cpp's converter.", "python -m ensurepip")
    requirement = f"{PACKAGE}=={wanted.partition('+')[0]}"
    flags = ["--no-deps", "--no-binary", PACKAGE, "--disable-pip-version-check", "--no-input", "--dest", str(folder)]
    command = [sys.executable, "-m", "pip", "download", *flags, requirement]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    sources = list(folder.glob("*.tar.gz"))
    if result.returncode or len(sources) != 1:
        raise Unavailable(
            f"pip could not download the source of {requirement}: {telling_line(result.stderr)}",
            "It is needed once, for llama.cpp's converter; try again where a package registry can be reached.",
        )
    return sources[0]
