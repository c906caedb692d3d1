"""Bases, profiles and reports of a registry behind a server: what its gate and its admission go by."""

from collections.abc import Sequence

from registry.base_model import BaseModel
from registry.profile import ServingProfile
from registry.remote.connection import Connection
from registry.report import EvalReport


class Bases:
    """Bases that versions were admitted against."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, base: BaseModel) -> None:
        """Record a base."""
        self._connection.ask(None, "POST", "/bases", json=base)

    def get(self, fingerprint: str) -> BaseModel:
        """Find a base by fingerprint."""
        base: BaseModel = self._connection.ask(BaseModel, "GET", "/bases/{}", fingerprint)
        return base

    def list(self) -> Sequence[BaseModel]:
        """All bases, by name."""
        bases: Sequence[BaseModel] = self._connection.ask(Sequence[BaseModel], "GET", "/bases")
        return bases


class Profiles:
    """Every set-up that ever served."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, profile: ServingProfile) -> None:
        """Say that this profile serves its base from now on."""
        self._connection.ask(None, "POST", "/profiles", json=profile)

    def serving(self, base_fingerprint: str) -> ServingProfile | None:
        """The profile that serves a base, or served it last."""
        profile: ServingProfile | None = self._connection.ask(
            ServingProfile | None, "GET", "/profiles/{}", base_fingerprint
        )
        return profile


class Reports:
    """What evals found."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, report: EvalReport) -> None:
        """Keep a report."""
        self._connection.ask(None, "POST", "/reports", json=report)

    def list(self, version_digest: str) -> Sequence[EvalReport]:
        """The reports of a version, oldest first."""
        return self._asked("/reports", version=version_digest)

    def on(self, suite_digest: str, profile_fingerprint: str) -> Sequence[EvalReport]:
        """The reports of any version on one suite and profile, newest first."""
        return self._asked("/reports/on", suite=suite_digest, profile=profile_fingerprint)

    def _asked(self, path: str, **params: str) -> Sequence[EvalReport]:
        reports: Sequence[EvalReport] = self._connection.ask(Sequence[EvalReport], "GET", path, params=params)
        return reports
