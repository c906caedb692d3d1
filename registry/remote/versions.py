"""Versions of a registry behind a server."""

from collections.abc import Sequence
from pathlib import Path

from registry.admission import admit_headers, prove_base
from registry.base_model import BaseModel
from registry.errors import Corrupted
from registry.files import FileEntry
from registry.refs import AdapterRef, valid_name
from registry.remote.connection import PROVING, Connection
from registry.remote.download import pull_files
from registry.remote.upload import send_missing
from registry.rooms import OnBytes
from registry.run_folder import kept_files, read_record
from registry.signature import Signature
from registry.version import AdapterVersion, Push


class Versions:
    """Every version of every adapter that the key may name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def push(
        self,
        folder: Path,
        name: str,
        *,
        actor: str,  # noqa: ARG002 - the server takes it from the key
        base: BaseModel | None = None,
        note: str = "",
        signatures: Sequence[Signature] = (),
        on_bytes: OnBytes = None,
    ) -> Push:
        """Send the adapter in ``folder``, as far as the server lacks it, and have it admitted there.

        What can be refused without reading the weights is refused here, before a byte is sent.
        """
        valid_name(name)
        files = kept_files(folder)
        if base is not None:
            prove_base(read_record(folder), base)
            admit_headers(folder, base)
        entries = [FileEntry.of(folder, file) for file in files]
        send_missing(self._connection, folder, {"name": name}, entries, on_bytes)
        document = {"name": name, "note": note, "base": base, "files": entries, "signatures": signatures}
        pushed: Push = self._connection.ask(Push, "POST", "/versions", json=document, silence=PROVING)
        return pushed

    def get(self, ref: AdapterRef | str) -> AdapterVersion:
        """Find the version that a reference names."""
        ref = AdapterRef.parse(ref) if isinstance(ref, str) else ref
        version: AdapterVersion = self._connection.ask(AdapterVersion, "GET", "/versions/{}", str(ref))
        return _proved(version)

    def list(self, name: str | None = None) -> Sequence[AdapterVersion]:
        """Versions by name and number, of one adapter or of all."""
        params = {} if name is None else {"name": name}
        versions: Sequence[AdapterVersion] = self._connection.ask(
            Sequence[AdapterVersion], "GET", "/versions", params=params
        )
        return versions

    def pull(self, version: AdapterVersion, target: Path, on_bytes: OnBytes = None) -> None:
        """Copy the files into the new folder ``target``, verified and whole, or not at all."""
        _proved(version)
        pull_files(self._connection, version.digest, version.manifest.files, target, on_bytes)


def _proved(version: AdapterVersion) -> AdapterVersion:
    if version.manifest.digest != version.digest:
        raise Corrupted(f"The manifest that came of {version} does not have its digest ({version.digest[:19]}…).")
    return version
