"""``registry release`` as people type it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from registry.cli import registry as command
from registry.store import Registry
from registry.tally import CANDIDATE, CURRENT, PAIRS, Tally
from registry.version import AdapterVersion
from tests.unit.registry.test_aliases import versions

__all__ = ["versions"]  # a fixture


@pytest.fixture
def registry(embedded: Registry) -> Registry:
    return embedded


def typed(folder: Path, line: str) -> Result:
    home = {"ADAPTORY_HOME": str(folder), "ADAPTORY_ACTOR": "ada"}
    return CliRunner().invoke(command, line.split(), env=home)


def test_a_release_from_start_to_end(registry: Registry, versions: list[AdapterVersion], tmp_path: Path) -> None:
    registry.aliases.promote(str(versions[0]), "live", actor="ada")
    start = "release start support:2 live --weight 5% --for 30m --then promote --shadow --keep-texts 3"
    assert "shadow support:1 -> support:2 at 5%, running." in typed(tmp_path, start).output
    again = typed(tmp_path, start)
    assert (again.exit_code, "registry release show support@live" in again.output) == (1, True)
    release = registry.releases.get("support", "live")
    assert (release.plan.seconds, release.plan.then, release.actor) == (1800, "promote", "ada")
    seen, pairs = Tally({"requests": 50, "free": 50}), Tally({"copies": 50, "both": 48, "dropped": 2})
    counted = {CURRENT: Tally({"requests": 50}), CANDIDATE: seen, PAIRS: pairs}
    registry.releases.report(release.id, counted, texts=[{"current": "yes", "candidate": "no"}])
    shown = typed(tmp_path, "release show support@live --texts").output
    assert "Of 50 copies, 2 were dropped and 48 answered by both" in shown
    assert "support:1: yes\nsupport:2: no" in shown
    document = json.loads(typed(tmp_path, "release show support@live --json").output)
    assert document["counts"][CANDIDATE]["counts"]["requests"] == 50
    assert document["findings"][0]["what"] == "failed requests"
    assert "at 20%" in typed(tmp_path, "release weight support@live 20%").output
    assert "stopped. ada stopped it: enough" in typed(tmp_path, "release stop support@live --reason enough").output
    assert "shadow" in typed(tmp_path, "releases").output
    watched = json.loads(typed(tmp_path, "promote support:3 live --watch 10m --json").output)
    assert (watched["number"], registry.releases.get("support", "live").plan.seconds) == (3, 600)
    assert "promoted. ada promoted it" in typed(tmp_path, "release promote support@live").output


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("release start support:2 live --weight 110%", "no share"),
        ("release start support:2 live --for 10", "no time"),
        ("release show support:2", "names no alias"),
        ("release show support@live", "has had no release"),
        ("release stop support@live", "under way"),
    ],
)
def test_mistakes_are_told_in_a_line(tmp_path: Path, line: str, told: str) -> None:
    done = typed(tmp_path, line)
    assert (done.exit_code, told in done.output) == (2, True)
