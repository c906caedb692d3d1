"""Reports: what evals found, kept with the version."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import insert, select

from registry.embedded.database import Database
from registry.embedded.events import announce
from registry.embedded.seal import prove_whole, sealed
from registry.embedded.tables import reports, versions
from registry.report import EvalReport
from registry.times import now, to_text


class Reports:
    """Every report of every version."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, report: EvalReport) -> None:
        """Keep a report."""
        with self._database.write() as connection:
            row = {
                "version_digest": report.version_digest,
                "profile_fingerprint": report.profile_fingerprint,
                "suite_digest": report.suite_digest,
                "passed": report.passed,
                "document": json.dumps(report.to_json(), ensure_ascii=False),
                "created": to_text(now()),
            }
            connection.execute(insert(reports).values(**sealed(row)))
            named = select(versions.c.name).where(versions.c.digest == report.version_digest).distinct()
            for name in connection.scalars(named).all():
                announce(connection, "report", name, {"digest": report.version_digest, "passed": report.passed})

    def list(self, version_digest: str) -> Sequence[EvalReport]:
        """The reports of a version, oldest first."""
        query = select(reports).where(reports.c.version_digest == version_digest).order_by(reports.c.id)
        with self._database.read() as connection:
            return [_report(row) for row in connection.execute(query)]

    def on(self, suite_digest: str, profile_fingerprint: str) -> Sequence[EvalReport]:
        """The reports of any version on one suite and profile, newest first: they share the base's answers."""
        query = (
            select(reports)
            .where(reports.c.suite_digest == suite_digest, reports.c.profile_fingerprint == profile_fingerprint)
            .order_by(reports.c.id.desc())
        )
        with self._database.read() as connection:
            return [_report(row) for row in connection.execute(query)]


def _report(row: Any) -> EvalReport:
    prove_whole(row, f"a report of {row.version_digest[:19]}…")
    return EvalReport.from_json(json.loads(row.document))
