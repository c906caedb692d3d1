"""The gate before a protected alias: a passing report, for the profile that serves."""

from sqlalchemy import Connection, select

from registry.embedded.seal import prove_whole
from registry.embedded.tables import profiles, reports
from registry.errors import Refused
from registry.refs import DEFAULT_ALIAS
from registry.version import AdapterVersion

PROTECTED = frozenset({DEFAULT_ALIAS})
"""Aliases that need a passing report: what a bare name serves."""


def prove_passed(connection: Connection, version: AdapterVersion, alias: str) -> None:
    """Prove that the newest report of each suite, on the profile that serves now, passed; one suite at least.

    Raises:
        Refused: with what is missing and what to type.
    """
    if alias not in PROTECTED:
        return
    profile = serving(connection, version.manifest.base_fingerprint)
    hint = f"adaptory eval {version} --suite SUITE.toml, or --force --reason WHY."
    if profile is None:
        raise Refused(f"{version} has no report: nothing has served its base {version.manifest.base_name} yet.", hint)
    query = (
        select(reports.c.suite_digest, reports.c.passed, reports.c.id)
        .where(reports.c.version_digest == version.digest, reports.c.profile_fingerprint == profile)
        .order_by(reports.c.id)
    )
    newest = {row.suite_digest: row for row in connection.execute(query)}
    for row in connection.execute(select(reports).where(reports.c.id.in_([row.id for row in newest.values()]))):
        prove_whole(row, f"a report of {version}")
    if not newest:
        raise Refused(f"{version} has no report for the profile that serves ({profile[:19]}…).", hint)
    if not all(row.passed for row in newest.values()):
        raise Refused(f"{version} failed its newest report for the profile that serves ({profile[:19]}…).", hint)


def serving(connection: Connection, base_fingerprint: str) -> str | None:
    """Fingerprint of the profile that serves a base, or served it last."""
    query = (
        select(profiles.c.fingerprint)
        .where(profiles.c.base_fingerprint == base_fingerprint)
        .order_by(profiles.c.serving_since.desc())
        .limit(1)
    )
    return connection.scalar(query)
