"""OciClient: an OCI registry, through ``oras``; every byte that comes is proved against its digest."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from registry.canonical import CHUNK, digest_bytes
from registry.errors import Corrupted, InvalidAdapter, NotFound, Refused, Unavailable
from registry.exchange.modelpack import MAX_MANIFEST, OCI_MANIFEST
from registry.exchange.oci_place import OciPlace
from registry.files import FileEntry
from registry.optional import require
from registry.refs import shown

if TYPE_CHECKING:
    import requests

OnBytes = Callable[[int], None] | None
PACKAGES = {"oras": "oras"}
TIMEOUT = (10, 120)  # seconds: to connect, and between two bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach a registry.

    Attributes:
        user: name, or ``""`` for what docker's configuration says.
        password: never printed.
        docker_config: folder of docker's ``config.json``, or None for the usual one.
        insecure: plain HTTP is allowed anywhere, not on this machine alone.
    """

    user: str = ""
    password: str = field(default="", repr=False)
    docker_config: Path | None = None
    insecure: bool = False


class OciClient:
    """One repository of one registry; a context, whose end closes the connections.

    Plain HTTP is spoken with this machine, and elsewhere only where ``access.insecure`` says so.
    """

    def __init__(self, place: OciPlace, access: Access) -> None:
        require("oci", PACKAGES)
        from oras.container import Container
        from oras.provider import Registry

        logging.getLogger("oras").setLevel(logging.CRITICAL)  # what it logs, the errors say
        self.place = place
        self._plain = place.is_loopback or access.insecure
        with _named_errors(place):
            self._basic = self._challenge() == "basic"
            self._oras = Registry(insecure=self._plain, auth_backend="basic" if self._basic else "token")
            self._oras.session.mount(f"{self._root.partition(':')[0]}://", _patient())
            self._log_in(Container(place.name), access)

    def __enter__(self) -> "OciClient":
        return self

    def __exit__(self, *_error: object) -> None:
        self._oras.session.close()

    def push(self, manifest: bytes, config: bytes, files: list[tuple[Path, FileEntry]], on_bytes: OnBytes) -> str:
        """Upload blobs, and the manifest last: what the tag names is always whole.

        Returns:
            The manifest's digest, as the registry confirmed it.
        """
        with _named_errors(self.place):
            for file, entry in files:
                self._upload(entry.digest, entry.size, _pieces(file, on_bytes))
            self._upload(digest_bytes(config), len(config), iter([config]))
            answer = self._ask(
                "PUT", self._url("manifests", self.place.tag), data=manifest, headers={"Content-Type": OCI_MANIFEST}
            )
        digest = digest_bytes(manifest)
        if answer.headers.get("Docker-Content-Digest", digest) != digest:
            raise Corrupted(f"{self.place} took other bytes than were sent.", "Export it again.")
        return digest

    def manifest(self) -> bytes:
        """The manifest that the place names, proved where it names it by digest.

        Raises:
            NotFound: there is none.
            Corrupted: it has another digest.
        """
        with _named_errors(self.place):
            url = self._url("manifests", self.place.digest or self.place.tag)
            self._ask("HEAD", url, headers={"Accept": OCI_MANIFEST})  # asks for a token, where one is needed
            answer = self._ask("GET", url, headers={"Accept": OCI_MANIFEST}, stream=True)
            raw = b"".join(_bounded(answer, MAX_MANIFEST))
        expected = self.place.digest or answer.headers.get("Docker-Content-Digest") or digest_bytes(raw)
        if digest_bytes(raw) != expected:
            raise Corrupted(f"{self.place} answered with other bytes than its digest says.", "Try again.")
        return raw

    def download(self, entry: FileEntry, target: Path, on_bytes: OnBytes = None) -> None:
        """Fetch a layer into ``target``.

        Raises:
            Corrupted: it has other bytes than its digest says.
        """
        state, size = hashlib.sha256(), 0
        with _named_errors(self.place), target.open("wb") as writer:
            answer = self._ask("GET", self._url("blobs", entry.digest), stream=True)
            for piece in _bounded(answer, entry.size):
                writer.write(piece)
                state.update(piece)
                size += len(piece)
                if on_bytes:
                    on_bytes(len(piece))
        if size != entry.size or "sha256:" + state.hexdigest() != entry.digest:
            raise Corrupted(f"{entry.path} did not arrive from {self.place} as its digest says.", "Try again.")

    @property
    def _root(self) -> str:
        return f"{'http' if self._plain else 'https'}://{self.place.host}/v2/"

    def _url(self, kind: str, name: str) -> str:
        return f"{self._root}{self.place.repository}/{kind}/{name}"

    def _challenge(self) -> str:
        """How the registry wants to be asked: ``basic``, ``bearer`` or ``""``. Asked once, without credentials."""
        import requests

        header = requests.get(self._root, timeout=TIMEOUT).headers.get("WWW-Authenticate", "")
        realm = header.partition('realm="')[2].partition('"')[0]
        if header.lower().startswith("bearer") and not realm.startswith("https://") and not self._plain:
            raise Refused(f"{self.place.host} wants the password sent to {shown(realm)} over plain HTTP.")
        return header.partition(" ")[0].lower()

    def _log_in(self, container: Any, access: Access) -> None:
        auth = self._oras.auth
        if access.user:
            auth.set_basic_auth(access.user, access.password)
            return
        auth.load_configs(
            container, configs=[str(access.docker_config / "config.json")] if access.docker_config else None
        )
        if self._basic and not hasattr(auth, "_basic_auth"):
            raise Refused(f"{self.place.host} wants a name and a password.", LOG_IN)

    def _upload(self, digest: str, size: int, pieces: Iterator[bytes]) -> None:
        if self._ask("HEAD", self._url("blobs", digest), missing=True).status_code == 200:
            return
        begun = self._ask("POST", self._url("blobs", "uploads/"))
        place = urljoin(begun.url, begun.headers.get("Location", ""))
        if not place.startswith("https://") and not self._plain:
            raise Refused(f"{self.place.host} wants the content sent to {shown(place)}; HTTPS was expected.")
        url = f"{place}{'&' if '?' in place else '?'}digest={digest}"
        self._ask("PUT", url, data=_Sized(pieces, size) if size else b"", headers={"Content-Type": BYTES})

    def _ask(self, method: str, url: str, *, missing: bool = False, **options: Any) -> "requests.Response":
        """One request; 404 is an error unless ``missing`` allows it."""
        answer = self._send(method, url, **options)
        if answer.status_code == 401 and method != "PUT" and not self._basic:
            self._oras.auth.token = None  # it was for reading: oras would send it for ever
            answer = self._send(method, url, **options)
        if answer.status_code < 400 or (answer.status_code == 404 and missing):
            return answer
        reason = _reason(answer)
        answer.close()
        if answer.status_code == 404:
            raise NotFound(f"{self.place} does not exist.", "Check host, repository and tag.")
        if answer.status_code in {401, 403}:
            raise Refused(f"{self.place.host} does not allow this with {self.place.repository}.", LOG_IN)
        raise Unavailable(f"{self.place.host} answered {answer.status_code} {reason}".rstrip(" .") + ".")

    def _send(
        self, method: str, url: str, *, headers: dict[str, str] | None = None, **options: Any
    ) -> "requests.Response":
        once = self._oras.do_request.__wrapped__  # oras tries again for two minutes, refused passwords too
        sent = dict(headers or {}) | (self._oras.auth.get_auth_header() if self._basic else {})
        answer: requests.Response = once(self._oras, url, method, headers=sent, **options)
        return answer


LOG_IN = "docker login HOST, or --user NAME --password-stdin."
BYTES = "application/octet-stream"


class _Sized:
    """An upload's body: read in pieces, with a length, so that it is not sent chunked."""

    def __init__(self, pieces: Iterator[bytes], size: int) -> None:
        self._pieces, self._size = pieces, size

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return self._pieces


def _patient() -> Any:
    """A transport that gives up on a registry that says nothing; oras itself would wait for ever."""
    from requests.adapters import HTTPAdapter

    class Patient(HTTPAdapter):
        def send(self, request: Any, **options: Any) -> Any:  # type: ignore[override]  # the rest goes by name
            return super().send(request, **options | {"timeout": TIMEOUT})

    return Patient()


def _pieces(file: Path, on_bytes: OnBytes) -> Iterator[bytes]:
    with file.open("rb") as reader:
        while piece := reader.read(CHUNK):
            yield piece
            if on_bytes:
                on_bytes(len(piece))


def _bounded(answer: "requests.Response", limit: int) -> Iterator[bytes]:
    size = 0
    with answer:
        for piece in answer.iter_content(CHUNK):
            size += len(piece)
            if size > limit:
                raise InvalidAdapter(f"What the registry sends is larger than the {limit} bytes that were announced.")
            yield piece


def _reason(answer: "requests.Response") -> str:
    try:
        errors = answer.json()["errors"]
        return shown(str(errors[0].get("message") or errors[0].get("code")), 200)[1:-1]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return str(answer.reason)


@contextmanager
def _named_errors(place: OciPlace) -> Iterator[None]:
    import requests

    try:
        yield
    except requests.exceptions.SSLError as error:
        raise Unavailable(
            f"{place.host} does not speak HTTPS that can be trusted.", "--insecure allows plain HTTP."
        ) from error
    except requests.RequestException as error:
        raise Unavailable(f"{place.host} does not answer ({type(error).__name__}).", "Check host and port.") from error
    except (ValueError, AttributeError, KeyError, TypeError) as error:  # how oras says that it could not log in
        raise Refused(f"{place.host} did not accept who asks.", LOG_IN) from error
