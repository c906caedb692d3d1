"""The room of releases: what a registry can do with them (see ``registry.rooms``)."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from registry.refs import AdapterRef
from registry.release import Plan, Release
from registry.tally import Tally


class Releases(Protocol):
    """New versions that take over aliases step by step."""

    def start(
        self, ref: AdapterRef | str, alias: str, plan: Plan, *, actor: str, reason: str = "", force: bool = False
    ) -> Release:
        """Begin one; a watch moves the alias at once; NotFound, Conflict, Refused, InvalidInput."""

    def get(self, name: str, alias: str) -> Release:
        """The newest release of an alias; NotFound."""

    def list(self, name: str | None = None, *, running: bool = False) -> Sequence[Release]:
        """Releases of one adapter, or of all, oldest first."""

    def weigh(self, name: str, alias: str, weight: float, *, actor: str) -> Release:
        """Change the candidate's share; NotFound, InvalidInput."""

    def stop(self, name: str, alias: str, *, actor: str, reason: str = "") -> Release:
        """End the one that is under way; NotFound."""

    def promote(self, name: str, alias: str, *, actor: str, reason: str = "", force: bool = False) -> Release:
        """End it and move the alias to the candidate; NotFound, Refused, InvalidInput."""

    def counts(self, id: str) -> Mapping[str, Tally]:  # noqa: A002 - it is the release's id
        """What every server has counted so far: ``current``, ``candidate`` and ``pairs``."""

    def texts(self, id: str) -> Sequence[dict[str, Any]]:  # noqa: A002 - it is the release's id
        """The last pairs of answers that were kept, oldest first."""

    def report(
        self,
        id: str,  # noqa: A002 - it is the release's id
        counted: Mapping[str, Tally],
        *,
        texts: Sequence[Mapping[str, str]] = (),
        failure: str = "",
        batch: str = "",
    ) -> Release:
        """Add what a server has counted since its last report, once for each id of a batch, and decide; NotFound."""
