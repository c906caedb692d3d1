"""Releases of a registry behind a server."""

from collections.abc import Mapping, Sequence
from typing import Any

from registry.errors import NotFound
from registry.refs import AdapterRef
from registry.release import Plan, Release
from registry.remote.connection import Connection
from registry.tally import Tally


class Releases:
    """New versions that take over aliases step by step; who does it is the key's name."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(
        self,
        ref: AdapterRef | str,
        alias: str,
        plan: Plan,
        *,
        actor: str,  # noqa: ARG002 - the server takes it from the key
        reason: str = "",
        force: bool = False,
    ) -> Release:
        """Begin one; a watch moves the alias at once."""
        return self._post("", {"ref": str(ref), "alias": alias, "plan": plan, "reason": reason, "force": force})

    def get(self, name: str, alias: str) -> Release:
        """The newest release of an alias."""
        found = [release for release in self.list(name) if release.alias == alias]
        if not found:
            raise NotFound(f"{name}@{alias} has had no release.", f"registry release start {name}:2 {alias}")
        return found[-1]

    def list(self, name: str | None = None, *, running: bool = False) -> Sequence[Release]:
        """Releases of one adapter, or of all, oldest first."""
        params = {"running": running} | ({} if name is None else {"name": name})
        releases: Sequence[Release] = self._connection.ask(Sequence[Release], "GET", "/releases", params=params)
        return releases

    def weigh(
        self,
        name: str,
        alias: str,
        weight: float,
        *,
        actor: str,  # noqa: ARG002 - the server takes it from the key
    ) -> Release:
        """Change the candidate's share."""
        return self._post("/weight", {"name": name, "alias": alias, "weight": weight})

    def stop(
        self,
        name: str,
        alias: str,
        *,
        actor: str,  # noqa: ARG002 - the server takes it from the key
        reason: str = "",
    ) -> Release:
        """End the one that is under way."""
        return self._post("/stop", {"name": name, "alias": alias, "reason": reason})

    def promote(
        self,
        name: str,
        alias: str,
        *,
        actor: str,  # noqa: ARG002 - the server takes it from the key
        reason: str = "",
        force: bool = False,
    ) -> Release:
        """End it and move the alias to the candidate."""
        return self._post("/promote", {"name": name, "alias": alias, "reason": reason, "force": force})

    def counts(self, id: str) -> Mapping[str, Tally]:  # noqa: A002 - it is the release's id
        """What every server has counted so far."""
        counted: Mapping[str, Tally] = self._connection.ask(Mapping[str, Tally], "GET", "/releases/{}/counts", id)
        return counted

    def texts(self, id: str) -> Sequence[dict[str, Any]]:  # noqa: A002 - it is the release's id
        """The last pairs of answers that were kept, oldest first."""
        kept: Sequence[dict[str, Any]] = self._connection.ask(Sequence[dict[str, Any]], "GET", "/releases/{}/texts", id)
        return kept

    def report(
        self,
        id: str,  # noqa: A002 - it is the release's id
        counted: Mapping[str, Tally],
        *,
        texts: Sequence[Mapping[str, str]] = (),
        failure: str = "",
        batch: str = "",
    ) -> Release:
        """Add what a server has counted since its last report, once for each id of a batch, and decide."""
        document = {"counted": counted, "texts": texts, "failure": failure, "batch": batch}
        after: Release = self._connection.ask(Release, "POST", "/releases/{}/report", id, json=document)
        return after

    def _post(self, path: str, document: dict[str, Any]) -> Release:
        release: Release = self._connection.ask(Release, "POST", f"/releases{path}", json=document)
        return release
