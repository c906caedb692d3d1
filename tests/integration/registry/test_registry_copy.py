"""``registry copy`` and ``registry migrate`` between real stores, and the main unit tests on PostgreSQL and S3."""

import gc
import json
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from registry.artifact import Artifact
from registry.base_model import BaseModel
from registry.cli import registry as command
from registry.embedded.copying import LEFT_OUT, Copying
from registry.embedded.registry import EmbeddedRegistry
from registry.embedded.schema import HEAD
from registry.embedded.tables import metadata
from registry.errors import Conflict
from registry.settings import Settings
from registry.store import Registry
from registry.usage import Usage
from tests.integration.store_servers import PASSWORD, Opened
from tests.unit.registry.conftest import MakeAdapter
from tests.unit.registry.test_aliases import (
    profile,
    report,
    test_history_is_a_hash_chain,
    test_prod_needs_a_passing_report_for_the_profile_that_serves,
    versions,
)
from tests.unit.registry.test_versions import (
    test_a_version_is_found_by_number_digest_and_alias,
    test_events_tell_what_became_visible,
    test_names_of_bases_and_adapters_never_meet,
    test_pushing_again_is_the_same_version,
    test_the_base_comes_from_the_record,
    test_what_is_pulled_is_what_was_pushed,
)

__all__ = [  # unit tests that run here on PostgreSQL and S3
    "test_a_version_is_found_by_number_digest_and_alias",
    "test_events_tell_what_became_visible",
    "test_history_is_a_hash_chain",
    "test_names_of_bases_and_adapters_never_meet",
    "test_prod_needs_a_passing_report_for_the_profile_that_serves",
    "test_pushing_again_is_the_same_version",
    "test_the_base_comes_from_the_record",
    "test_what_is_pulled_is_what_was_pushed",
    "versions",
]


@pytest.fixture
def registry(opened: Opened, scaled: Settings) -> Registry:
    """What the unit tests above run on."""
    return opened.registry(scaled)


def fill(registry: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path) -> None:
    """A little of everything."""
    for seed in (1, 2, 3):
        pushed = registry.versions.push(make_adapter(seed), "team/support", actor="ada", base=base, note=f"né {seed}")
    version = pushed.version
    registry.profiles.add(profile(base))
    registry.reports.add(report(version, profile(base)))
    registry.aliases.promote("team/support:3", "prod", actor="ada", reason="good")
    registry.aliases.promote("team/support:1", "canary", actor="ada")
    registry.aliases.promote("team/support:2", "canary", actor="bob")
    registry.aliases.rollback("team/support", "canary", actor="bob", reason="worse")
    exported = tmp_path / "exported"
    exported.mkdir(exist_ok=True)
    (exported / "model.gguf").write_bytes(bytes(range(256)) * 4096)
    form = Artifact(version_digest=version.digest, form="gguf", quant="q8_0", files=(), recipe={"merge": "nf4"})
    registry.artifacts.add(form, exported)
    key = registry.keys.create("ci", actor="ada").key
    place: dict[str, Any] = {"key": key.id, "adapter": "team/support", "number": 3, "day": date(2026, 11, 22)}
    used = Usage(**place, requests=1, tokens_in=2, tokens_out=3)
    registry.usage.add([used], {key.id: datetime.now(UTC)})
    registry.marks.tag("team/support:3", {"team": "help"}, actor="ada")


def rows_of(opened: Opened, settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    tables = [table for table in metadata.sorted_tables if table.name not in LEFT_OUT]
    with opened.database(settings).read() as connection:
        return {table.name: sorted(tuple(row) for row in connection.execute(table.select())) for table in tables}


def test_everything_goes_from_a_folder_to_servers_and_back(
    unscaled: Settings, scaled: Settings, opened: Opened, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    back = replace(unscaled, registry=str(tmp_path / "back"))
    source, target, last = (opened.registry(settings) for settings in (unscaled, scaled, back))
    fill(source, base, make_adapter, tmp_path)
    there = Copying(opened.stores(unscaled), opened.stores(scaled))

    def stop(_size: int) -> None:
        if list(target.blobs.digests()):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        there.run(on_bytes=stop)
    assert target.events.last_id() == 0  # nothing is visible before everything is there
    copied = there.run()
    assert copied.present == 1  # it went on where it was
    assert there.run().blobs == 0
    Copying(opened.stores(scaled), opened.stores(back)).run()
    rows = rows_of(opened, unscaled)
    assert rows["moves"]
    assert rows["usage"]
    assert rows == rows_of(opened, scaled) == rows_of(opened, back)
    for registry in (target, last):
        assert registry.verification.run() == []
    version, out = last.versions.get("team/support"), tmp_path / "out"
    last.versions.pull(version, out)
    assert last.versions.push(out, "team/support", actor="ada", base=base).version == version
    (form,) = last.artifacts.list(version.digest)
    last.artifacts.pull(form, tmp_path / "form")


def test_a_copy_follows_its_source_and_never_overwrites_another(
    unscaled: Settings, scaled: Settings, opened: Opened, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    source, target = opened.registry(unscaled), opened.registry(scaled)
    source.versions.push(make_adapter(1), "support", actor="ada", base=base)
    copying = Copying(opened.stores(unscaled), opened.stores(scaled))
    copying.run()
    source.versions.push(make_adapter(2), "support", actor="ada", base=base)
    copying.run()
    assert target.events.last_id() == source.events.last_id()
    target.versions.push(make_adapter(3), "support", actor="ada", base=base)  # ids and numbers go on
    assert [version.number for version in target.versions.list("support")] == [1, 2, 3]
    assert target.events.last_id() > source.events.last_id()
    with pytest.raises(Conflict, match=r"holds something that .* does not: versions"):
        copying.run()
    assert len(target.versions.list("support")) == 3


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a command's process ends: see collect
def test_the_commands(
    unscaled: Settings, scaled: Settings, opened: Opened, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    opened.registry(unscaled).versions.push(make_adapter(), "support", actor="ada", base=base)
    environment = {
        "ADAPTORY_HOME": str(scaled.home),
        "ADAPTORY_REGISTRY": scaled.registry,
        "ADAPTORY_BLOBS": scaled.blobs,
        "AWS_ENDPOINT_URL": scaled.s3.endpoint,
        "AWS_REGION": scaled.s3.region,
        "AWS_ACCESS_KEY_ID": scaled.s3.key_id,
        "AWS_SECRET_ACCESS_KEY": scaled.s3.secret,
    }

    def run(*arguments: str, exit_code: int = 0) -> str:
        result = CliRunner(env=environment).invoke(command, arguments)
        assert result.exit_code == exit_code, result.output
        assert PASSWORD not in result.output
        return result.output

    assert json.loads(run("copy", unscaled.registry, scaled.registry, "--json"))["blobs"] == 2
    assert run("verify").startswith("All is well")
    assert "--down" in run("migrate", "--to", "0003", exit_code=2)
    assert f"schema {HEAD} -> 0003" in run("migrate", "--down", "--to", "0003")
    assert "registry migrate" in run("list", exit_code=1)
    assert json.loads(run("migrate", "--json"))["to"] == HEAD
    assert "nothing was to be done" in run("migrate")
    assert "support" in run("list")
    gc.collect()  # commands leave closing their connections to the end of their process
