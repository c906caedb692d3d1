"""The Hugging Face Hub, through its own client: what a repository holds, download, push."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.canonical import digest_file
from registry.errors import Corrupted, InvalidAdapter, InvalidInput, NotFound, Refused, Unavailable
from registry.exchange.arrival import Arrival
from registry.exchange.hub_folder import PACKAGES, arrive
from registry.optional import require
from registry.refs import shown
from registry.run_folder import KEPT, WEIGHTS

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SCHEME = "hf:"
_PLACE = re.compile(r"(?:hf:)?([\w][\w.-]*/[\w][\w.-]*)(?:@([\w][\w./-]*))?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSnapshot:
    """One commit of a repository.

    Attributes:
        repo: ``org/name``.
        commit: 40 hex digits.
        sizes: files that a push takes -> bytes.
        digests: SHA-256 of those of them that the Hub keeps by it (large ones).
    """

    repo: str
    commit: str
    sizes: dict[str, int]
    digests: dict[str, str]


def parse(text: str) -> tuple[str, str | None]:
    """Read ``hf:ORG/NAME@REVISION``.

    Returns:
        ``ORG/NAME``, and the revision or None.

    Raises:
        InvalidInput: it has another form.
    """
    found = _PLACE.fullmatch(text)
    if not found or ".." in text or "--" in found[1]:
        raise InvalidInput(
            f"{shown(text)} names no repository of the Hub.", "Write hf:ORG/NAME or hf:ORG/NAME@REVISION."
        )
    return found[1], found[2]


def look(api: "HfApi", repo: str, revision: str | None) -> HubSnapshot:
    """Ask the Hub what a repository holds.

    Raises:
        NotFound: there is no such repository or revision.
        Refused: it is gated.
        InvalidAdapter: it holds no adapter, a pickled one, or too large files.
        Unavailable: the Hub does not answer.
    """
    with _named_errors(repo, revision):
        info = api.model_info(repo, revision=revision, files_metadata=True)
    found = {file.rfilename: file for file in info.siblings or [] if file.rfilename in KEPT}
    if WEIGHTS not in found:
        pickled = any(file.rfilename == "adapter_model.bin" for file in info.siblings or [])
        reason = "its weights are a pickle, which can run code" if pickled else f"it has no {WEIGHTS}"
        raise InvalidAdapter(f"{repo} is refused: {reason}.", "Ask its author to save it as safetensors.")
    sizes = {name: int(file.size or 0) for name, file in found.items()}
    if large := [name for name, size in sizes.items() if size > KEPT[name]]:
        raise InvalidAdapter(f"{large[0]} of {repo} has {sizes[large[0]]} bytes; {KEPT[large[0]]} are the limit.")
    digests = {name: f"sha256:{file.lfs.sha256}" for name, file in found.items() if file.lfs}
    return HubSnapshot(repo=repo, commit=str(info.sha), sizes=sizes, digests=digests)


def download(
    api: "HfApi",
    snapshot: HubSnapshot,
    target: Path,
    on_bytes: Callable[[int], None] | None = None,
    cache: Path | None = None,
) -> Arrival:
    """Fetch a commit's files through the Hub's cache, where an interrupted download goes on.

    Args:
        api: the Hub's client.
        snapshot: what ``look`` found.
        target: empty folder that takes the files.
        on_bytes: hears the size of each piece that arrived.
        cache: folder of the Hub's cache; its own by default.

    Raises:
        Corrupted: a file has other bytes than the Hub keeps.
        Unavailable: the Hub does not answer.
    """
    folders = set()
    with _named_errors(snapshot.repo, snapshot.commit):
        for name in snapshot.sizes:
            file = api.hf_hub_download(
                snapshot.repo, name, revision=snapshot.commit, cache_dir=cache, tqdm_class=_listener(on_bytes)
            )
            folders.add(Path(file).parent)
    arrival = arrive(folders.pop(), target, source=SCHEME + snapshot.repo, revision=snapshot.commit)
    for name, digest in snapshot.digests.items():
        if digest_file(target / name) != digest:
            raise Corrupted(f"{name} did not arrive as {snapshot.repo} has it.", "Remove it from the Hub's cache.")
    return arrival


def from_cache(repo: str, revision: str | None, target: Path, cache: Path | None = None) -> Arrival:
    """Take a repository out of the Hub's cache, without the Hub.

    Raises:
        NotFound: it is not there.
    """
    from huggingface_hub import try_to_load_from_cache

    file = try_to_load_from_cache(repo, "adapter_config.json", cache_dir=cache, revision=revision)
    if not isinstance(file, str):
        raise NotFound(f"{repo} is not in the Hub's cache at {revision or 'main'}.", "Unset HF_HUB_OFFLINE.")
    return arrive(Path(file).parent, target, source=SCHEME + repo)


def client() -> "HfApi":
    """The Hub's client, as its own variables (``HF_ENDPOINT``, ``HF_TOKEN``) describe it.

    Raises:
        MissingPackage: the extra ``hub`` is not installed.
    """
    require("hub", PACKAGES)
    from huggingface_hub import HfApi

    return HfApi(library_name="adaptory")


def is_offline() -> bool:
    """Whether ``HF_HUB_OFFLINE`` is set."""
    from huggingface_hub import is_offline_mode

    return is_offline_mode()


def push(api: "HfApi", repo: str, folder: Path, files: Sequence[str], message: str, *, private: bool) -> str:
    """Commit files to a repository, all or nothing; the repository is made where it does not exist.

    Args:
        api: the Hub's client.
        repo: ``org/name``.
        folder: holds the files.
        files: their names.
        message: of the commit.
        private: of a new repository.

    Returns:
        The commit's URL.

    Raises:
        Refused: the token does not allow it.
        Unavailable: the Hub does not answer.
    """
    from huggingface_hub import CommitOperationAdd, get_token
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]  # as tqdm below

    if not api.token and not get_token():
        raise Refused("The Hub takes a push with a token only.", "Set HF_TOKEN to one that may write.")
    if not sys.stderr.isatty():
        disable_progress_bars()  # it draws them into files too
    with _named_errors(repo, None):
        api.create_repo(repo, private=private, exist_ok=True)
        operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=folder / name) for name in files]
        done = api.create_commit(repo, operations=operations, commit_message=message)
    return str(done.commit_url)


@contextmanager
def _named_errors(repo: str, revision: str | None) -> Iterator[None]:
    """Say in one line what the Hub's client says in several."""
    from huggingface_hub import errors

    network = getattr(errors, "HTTPError", OSError)  # of httpx or of httpx2, whichever the client is built on
    try:
        yield
    except errors.GatedRepoError as error:
        raise Refused(f"{repo} is gated.", "Accept its terms on the Hub and set HF_TOKEN.") from error
    except errors.RepositoryNotFoundError as error:
        raise NotFound(f"The Hub has no repository {repo}, or a private one.", "Check it, or set HF_TOKEN.") from error
    except errors.RevisionNotFoundError as error:
        raise NotFound(f"{repo} has no revision {revision}.", f"Write hf:{repo}@main.") from error
    except (network, OSError, RuntimeError, ValueError) as error:
        response = getattr(error, "response", None)
        if response is not None and response.status_code in {401, 403}:
            raise Refused(f"The Hub does not allow this with {repo}.", "Set HF_TOKEN to a token that may.") from error
        line = str(error).strip().partition("\n")[0][:200]
        raise Unavailable(f"The Hub did not do this with {repo}: {line}", "Try again.") from error


def _listener(on_bytes: Callable[[int], None] | None) -> Any:
    """A progress bar for the Hub's client that draws nothing and passes on what it hears."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]  # it is documented to be there

    class Listener(tqdm):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options | {"disable": True})  # type: ignore[no-untyped-call]  # the library's

        def update(self, n: float | None = 1) -> None:
            if on_bytes and n:
                on_bytes(int(n))

    return Listener
