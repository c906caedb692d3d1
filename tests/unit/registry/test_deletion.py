"""Versions go in two steps, and nothing that is still named goes with them."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from registry.artifact import Artifact
from registry.base_model import BaseModel
from registry.collected import Collected
from registry.deletion import Deletion
from registry.embedded.registry import EmbeddedRegistry
from registry.embedded.replicas import FORGOTTEN_AFTER
from registry.errors import Conflict, InvalidInput, NotFound, Refused
from registry.replica_status import SERVING, AliasStatus, ReplicaStatus
from registry.retention import RetentionRule
from registry.server.upkeep import Mark
from registry.times import now
from tests.unit.registry.conftest import MakeAdapter
from tests.unit.registry.test_replicas import run

AT_ONCE = timedelta(0)


@pytest.fixture
def pushed(registry: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter) -> EmbeddedRegistry:
    for seed in (1, 2, 3):
        registry.versions.push(make_adapter(seed), "support", actor="ada", base=base)
    return registry


def blobs(registry: EmbeddedRegistry) -> set[str]:
    return {digest for digest, _, _ in registry.blobs.digests()}


def collect(registry: EmbeddedRegistry, *, dry_run: bool = False) -> Collected:
    return registry.collection.run(actor="gc", dry_run=dry_run, grace=AT_ONCE, fresh=AT_ONCE)


def test_a_deleted_version_can_be_restored_until_it_is_collected(pushed: EmbeddedRegistry) -> None:
    version = pushed.versions.get("support:2")
    deletion = pushed.deletions.mark("support:2", actor="ada", reason="a secret in it")
    assert (deletion.digest, deletion.due - deletion.marked) == (version.digest, timedelta(days=7))
    for ref in ("support:2", f"support@{version.digest}"):
        with pytest.raises(NotFound, match=r"marked for deletion by ada .* \(a secret in it\)"):
            pushed.versions.get(ref)
    with pytest.raises(NotFound, match="marked for deletion"):
        pushed.aliases.promote("support:2", "canary", actor="ada")
    with pytest.raises(NotFound, match="marked for deletion"):
        pushed.deletions.mark("support:2", actor="ada")
    assert [one.number for one in pushed.versions.list("support")] == [1, 3]
    assert collect(pushed).removed == ()
    assert pushed.verification.run() == []
    assert pushed.deletions.restore("support:2", actor="bob") == version
    assert pushed.versions.get("support:2") == version
    with pytest.raises(Conflict, match="not marked"):
        pushed.deletions.restore("support:2", actor="bob")
    with pytest.raises(InvalidInput, match="no version number"):
        pushed.deletions.restore("support", actor="bob")


def test_a_collected_version_leaves_a_tombstone_and_its_number_is_never_used_again(
    pushed: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    (tmp_path / "form").mkdir()
    (tmp_path / "form" / "model.gguf").write_bytes(b"gguf")
    version = pushed.versions.get("support:3")
    artifact = Artifact(version_digest=version.digest, form="gguf", quant="q8_0", files=(), recipe={})
    pushed.artifacts.add(artifact, tmp_path / "form")
    pushed.marks.tag("support:3", {"team": "a"}, actor="ada")
    pushed.marks.deprecate("support:3", actor="ada", reason="old")
    before = blobs(pushed)
    marked = pushed.deletions.mark("support:3", actor="ada", reason="worse", grace=AT_ONCE)
    with pytest.raises(Conflict, match="same content was pushed before"):
        pushed.versions.push(make_adapter(3), "support", actor="ada", base=base)
    planned = collect(pushed, dry_run=True)
    assert (planned.removed, planned.blobs, blobs(pushed)) == ((marked,), 2, before)
    done = collect(pushed)
    assert (len(done.removed), done.blobs, done.size) == (1, 2, planned.size)
    assert len(before - blobs(pushed)) == 2  # its weights and its artifact; the configuration is shared
    (tombstone,) = pushed.deletions.list("support")
    assert (tombstone.digest, tombstone.actor, tombstone.reason) == (version.digest, "ada", "worse")
    assert tombstone.removed
    assert Deletion.from_json(tombstone.to_json()) == tombstone
    assert Collected.from_json(done.to_json()) == done
    with pytest.raises(NotFound, match=r"support:3 was deleted by ada on .* \(worse\)"):
        pushed.versions.get("support:3")
    with pytest.raises(Conflict, match="content is gone"):
        pushed.deletions.restore("support:3", actor="ada")
    again = pushed.versions.push(make_adapter(3), "support", actor="ada", base=base)
    assert (again.created, again.version.number, again.version.digest) == (True, 4, version.digest)
    assert (pushed.artifacts.list(version.digest), pushed.marks.tags(), pushed.marks.deprecations()) == ([], {}, [])
    assert pushed.verification.run() == []
    assert collect(pushed).blobs == 0


def test_what_is_named_cannot_be_deleted(pushed: EmbeddedRegistry, base: BaseModel) -> None:
    pushed.aliases.promote("support:1", "canary", actor="ada")
    moved = pushed.aliases.promote("support:2", "canary", actor="ada")
    with pytest.raises(Refused, match="support@canary names it"):
        pushed.deletions.mark("support:2", actor="ada")
    old = pushed.versions.get("support:1")
    entry = AliasStatus(
        name="support", alias="canary", moved=moved.moved, number=1, digest=old.digest, state=SERVING, failure=""
    )
    server = ReplicaStatus(
        id="one", host="here", pid=7, url="http://one:8000", base_name=base.name, base_fingerprint=base.fingerprint,
        profile="sha256:aa", started=now(), heartbeat=now() - timedelta(minutes=5), aliases=(entry,),
    )  # fmt: skip
    pushed.replicas.put(server)
    with pytest.raises(Refused, match="the server http://one:8000"):
        pushed.deletions.mark("support:1", actor="ada")
    pushed.replicas.put(replace(server, heartbeat=now() - FORGOTTEN_AFTER - timedelta(minutes=1)))
    pushed.deletions.mark("support:1", actor="ada")
    pushed.deletions.restore("support:1", actor="ada")
    pushed.replicas.put(server)
    pushed.replicas.remove("one")
    pushed.retention.set("supp*", keep_last=1, keep_aliased=True, actor="ada")
    for ref in ("support:1", "support:3"):
        with pytest.raises(Refused, match="a retention rule keeps it"):
            pushed.deletions.mark(ref, actor="ada")
    pushed.retention.remove("supp*", actor="ada")
    pushed.deletions.mark("support:1", actor="ada", grace=AT_ONCE)
    pushed.replicas.put(server)  # it was cut off when the version was deleted
    done = collect(pushed)
    assert [(str(one), "one:8000" in reason) for one, reason in done.kept] == [("support:1", True)]
    for days in (-1, 3651):
        with pytest.raises(InvalidInput, match="A time of grace"):
            pushed.deletions.mark("support:3", actor="ada", grace=timedelta(days=days))
        with pytest.raises(ValidationError):
            Mark(grace=timedelta(days=days))
        assert run(pushed, "delete", "support:3", f"--grace-days={days}").exit_code == 2


def test_retention_rules_delete_what_they_do_not_keep(
    pushed: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    for seed in (4, 5):
        pushed.versions.push(make_adapter(seed), "support", actor="ada", base=base)
    pushed.versions.push(make_adapter(6), "team/other", actor="ada", base=base)
    for number in (1, 2):
        pushed.aliases.promote(f"support:{number}", "canary", actor="ada")
    pushed.retention.set("*", keep_last=1, keep_aliased=True, actor="ada")
    rule = pushed.retention.set("support", keep_last=1, keep_aliased=False, actor="ada")
    assert RetentionRule.from_json(rule.to_json()) == rule
    planned = collect(pushed, dry_run=True)
    assert [one.number for one in planned.marked] == [1, 3, 4]  # 2 has the alias, 5 is the newest
    assert len(pushed.versions.list("support")) == 5
    done = pushed.collection.run(actor="gc")
    assert [str(one) for one in done.marked] == ["support:1", "support:3", "support:4"]
    assert done.removed == ()  # their grace has begun
    assert pushed.deletions.restore("support:4", actor="ada").number == 4
    assert pushed.verification.run() == []


def test_content_of_a_push_that_is_not_visible_yet_stays(
    pushed: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = pushed.blobs.keep
    held: list[Collected] = []

    def keep_and_collect(*arguments: object, **named: object) -> None:
        kept(*arguments, **named)  # type: ignore[arg-type]
        if not held:
            held.append(collect(pushed))  # it takes everything of this push that no older version names

    monkeypatch.setattr(pushed.blobs, "keep", keep_and_collect)
    version = pushed.versions.push(make_adapter(9), "support", actor="ada", base=base).version
    assert held[0].blobs == 1
    assert version.number == 4
    assert pushed.verification.run() == []


def test_commands_say_what_to_type_next(pushed: EmbeddedRegistry) -> None:
    assert "support:1 goes with the first registry gc after" in run(pushed, "delete", "support:1").stdout
    refused = run(pushed, "show", "support:1")
    assert (refused.exit_code, refused.stderr.endswith("registry restore support:1\n")) == (2, True)
    assert json.loads(run(pushed, "restore", "support:1", "--json").stdout)["version"] == 1
    run(pushed, "delete", "support:1", "--reason", "old", "--grace-days", "0")
    assert run(pushed, "gc", "--dry-run").stdout.startswith("support:1 would be removed; it was deleted by ada on")
    assert json.loads(run(pushed, "gc", "--json").stdout)["removed"][0]["reason"] == "old"
    assert "1 blobs" not in run(pushed, "gc").stdout  # fresh content is left alone
    assert run(pushed, "retention", "set", "support", "--keep-last", "2").exit_code == 0
    assert "support" in run(pushed, "retention", "list").stdout
    assert run(pushed, "delete", "support:3").exit_code == 1
    assert run(pushed, "retention", "remove", "support").exit_code == 0
    for arguments in (["retention", "remove", "support"], ["retention", "set", "Bad!", "--keep-last", "1"],
                      ["retention", "set", "support"], ["restore", "support:9"], ["delete", "nobody:1"]):  # fmt: skip
        assert run(pushed, *arguments).exit_code == 2
    listed = run(pushed, "list", "support", "--all")
    assert "support:1" in listed.stdout
    assert "deleted by ada" in listed.stdout
    everything = json.loads(run(pushed, "list", "support", "--all", "--json").stdout)
    assert [(one["version"], bool(one.get("removed"))) for one in everything] == [(1, True), (2, False), (3, False)]


def test_an_artifact_of_a_version_that_is_gone_is_refused(pushed: EmbeddedRegistry, tmp_path: Path) -> None:
    version = pushed.versions.get("support:2")
    pushed.deletions.mark("support:2", actor="ada", grace=AT_ONCE)
    collect(pushed)
    (tmp_path / "form").mkdir()
    (tmp_path / "form" / "model.gguf").write_bytes(b"GGUF")
    late = Artifact(version_digest=version.digest, form="gguf", quant="q8_0", files=(), recipe={})
    with pytest.raises(NotFound, match="was deleted meanwhile"):
        pushed.artifacts.add(late, tmp_path / "form")
    assert collect(pushed).blobs == 1
