"""Every room, embedded and through a server: what is written by one way is read the same by the other."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

import registry.embedded.batches
from registry.api_key import Limits
from registry.artifact import Artifact
from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.embedded.tables import batches
from registry.errors import Conflict, InvalidInput, NotFound
from registry.files import FileEntry
from registry.release import SHADOW, Plan
from registry.replica_status import SERVING, AliasStatus, ReplicaStatus
from registry.report import EvalReport, Score
from registry.store import Registry
from registry.tally import CANDIDATE, Tally
from registry.times import now
from registry.usage import Usage
from registry.version import AdapterVersion
from tests.unit.registry.conftest import MakeAdapter
from tests.unit.registry.test_aliases import profile, report

NOON = datetime(2030, 1, 2, 12, tzinfo=UTC)


@pytest.fixture
def version(embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter) -> AdapterVersion:
    return embedded.versions.push(make_adapter(), "team/support", actor="ada", base=base).version


def test_what_evidence_there_is(either: Registry, embedded: EmbeddedRegistry, version: AdapterVersion) -> None:
    fingerprint = version.manifest.base_fingerprint
    (known,) = either.bases.list()
    assert either.bases.get(fingerprint) == known == embedded.bases.get(fingerprint)
    either.bases.add(known)
    with pytest.raises(NotFound):
        either.bases.get("sha256:00")
    serves = replace(profile(known), engine_args=("--kv-cache-dtype=fp8",))
    assert either.profiles.serving(fingerprint) is None
    either.profiles.add(serves)
    assert either.profiles.serving(fingerprint) == embedded.profiles.serving(fingerprint) == serves
    score = {"exact": Score(mean=0.5, low=0.25, high=1 / 3)}
    full = EvalReport(
        version_digest=version.digest, profile_fingerprint=serves.fingerprint, suite_name="tickets",
        suite_digest="sha256:aa", items=1, adapter=score, base=score, gain=score, failures=(),
        results=({"id": "1", "answer": "ü \\u0000 \U0001f600", "metrics": {"exact": 1.0}},),
    )  # fmt: skip
    for one in (full, report(version, serves, "too bad")):
        either.reports.add(one)
    assert either.reports.list(version.digest) == embedded.reports.list(version.digest)
    assert either.reports.on("sha256:aa", serves.fingerprint)[1] == full
    assert either.reports.list("sha256:00") == []


def test_what_runs(either: Registry, embedded: EmbeddedRegistry, version: AdapterVersion) -> None:
    entry = AliasStatus(name="a", alias="prod", moved=now(), number=1, digest=version.digest, state=SERVING)
    status = ReplicaStatus(
        id="one", host="here", pid=7, url="http://one", base_name="tiny",
        base_fingerprint=version.manifest.base_fingerprint, profile="sha256:aa", started=now(), heartbeat=now(),
        aliases=(entry,),
    )  # fmt: skip
    assert not either.replicas.beat("one")
    either.replicas.put(status)
    assert either.replicas.list(status.base_fingerprint) == embedded.replicas.list() == [status]
    assert either.replicas.beat("one")
    assert either.replicas.list()[0].heartbeat > status.heartbeat
    either.replicas.remove("one")
    assert either.replicas.list() == []


def test_who_may_ask_and_what_they_used(either: Registry, embedded: EmbeddedRegistry) -> None:
    limits = Limits(requests_per_minute=60, concurrent=2)
    made = either.keys.create(
        "ci", actor="ada", scopes=("read", "infer"), adapters=("team/*",), limits=limits, weight=0.5,
        lifetime=timedelta(days=90, microseconds=1),
    )  # fmt: skip
    assert either.keys.list() == embedded.keys.list() == [made.key]
    assert either.keys.list()[0].proves(made.token.encode())
    with pytest.raises(Conflict):
        either.keys.create("ci", actor="ada")
    with pytest.raises(InvalidInput):
        either.keys.create("x", actor="ada", scopes=("everything",))
    row = Usage(key=made.key.id, adapter="demo", number=1, day=date(2030, 1, 2), requests=1, tokens_in=2**40,
                tokens_out=3)  # fmt: skip
    either.usage.add([row], {made.key.id: NOON})
    assert either.usage.list() == either.usage.list(keys=[made.key.id], adapter="demo", since=row.day) == [row]
    assert either.usage.list(keys=[]) == either.usage.list(since=date(2031, 1, 1)) == []
    assert either.keys.find("ci")[0].last_used == NOON
    assert either.keys.revoke("ci") == embedded.keys.list()
    with pytest.raises(NotFound):
        either.keys.find("nobody")


def test_a_batch_that_is_sent_again_is_added_once(
    either: Registry, embedded: EmbeddedRegistry, version: AdapterVersion, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    row = Usage(key="k", adapter="demo", number=1, day=date(2030, 1, 2), requests=1, tokens_in=2, tokens_out=3)
    for batch in ("a" * 32, "a" * 32, "b", "", ""):  # without an id, each is another
        either.usage.add([row], {}, batch)
    assert [one.requests for one in either.usage.list()] == [4]
    embedded.aliases.promote(str(version), "live", actor="ada")
    embedded.versions.push(make_adapter(1), version.name, actor="ada", base=base)
    plan = Plan(kind=SHADOW, weight=1, keep_texts=4)
    release = embedded.releases.start(f"{version.name}:2", "live", plan, actor="ada")
    counted, pair = {CANDIDATE: Tally({"requests": 1})}, {"current": "yes", "candidate": "no"}
    for batch in ("c", "c", "d"):
        assert either.releases.report(release.id, counted, texts=[pair], batch=batch) == release
    assert either.releases.counts(release.id)[CANDIDATE]["requests"] == 2
    assert either.releases.texts(release.id) == [pair, pair]


def test_batches_are_forgotten_after_a_day(embedded: EmbeddedRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    def known() -> set[str]:
        with embedded._database.read() as connection:
            return set(connection.scalars(select(batches.c.id)))

    for hours, batch in ((0, "a"), (23, "b"), (25, "c")):
        monkeypatch.setattr(registry.embedded.batches, "now", lambda hours=hours: NOON + timedelta(hours=hours))
        embedded.usage.add([], {}, batch)
    assert known() == {"b", "c"}


def test_artifacts(either: Registry, embedded: EmbeddedRegistry, version: AdapterVersion, tmp_path: Path) -> None:
    folder = tmp_path / "made" / "sub"
    folder.mkdir(parents=True)
    for file in (folder / "a.gguf", folder.parent / "b.gguf"):
        file.write_bytes(b"the same")
    artifact = Artifact(
        version_digest=version.digest, form="gguf", quant="q8_0", files=(), recipe={"tool": {"v": 1}},
        drift={"kl": 0.1},
    )  # fmt: skip
    heard: list[int] = []
    kept = either.artifacts.add(artifact, tmp_path / "made", heard.append)
    assert kept.files == tuple(FileEntry.of(tmp_path / "made", path) for path in ("b.gguf", "sub/a.gguf"))
    assert sum(heard) == kept.size
    assert [kept] == either.artifacts.list(version.digest) == embedded.artifacts.list(version.digest)
    assert either.artifacts.find(version.digest, "gguf", "q8_0") == kept
    assert either.artifacts.find(version.digest, "gguf", "q4_0") is None
    either.artifacts.pull(kept, tmp_path / "out")
    assert (tmp_path / "out" / "sub" / "a.gguf").read_bytes() == b"the same"


@pytest.mark.usefixtures("version")
def test_upkeep(either: Registry, embedded: EmbeddedRegistry) -> None:
    mark = either.marks.deprecate("team/support:1", actor="ada", reason="old")
    assert either.marks.deprecations() == embedded.marks.deprecations() == [mark]
    assert either.marks.undo("team/support:1", actor="ada").number == 1
    assert either.marks.tag("team/support:1", {"tier": "gold", "a": "b"}, ["a"], actor="ada") == {"tier": "gold"}
    assert either.marks.tags("team/support") == embedded.marks.tags() == {("team/support", 1): {"tier": "gold"}}
    rule = either.retention.set("team/*", keep_last=3, keep_aliased=True, actor="ada")
    assert either.retention.list() == embedded.retention.list() == [rule]
    either.retention.remove("team/*", actor="ada")
    deletion = either.deletions.mark("team/support:1", actor="ada", reason="wrong", grace=timedelta(days=2))
    assert either.deletions.list() == embedded.deletions.list() == [deletion]
    assert either.collection.run(actor="ada", dry_run=True) == embedded.collection.run(actor="ada", dry_run=True)
    with pytest.raises(NotFound, match="is marked for deletion"):
        either.versions.get("team/support:1")
    assert either.deletions.restore("team/support:1", actor="ada").number == 1
    assert not either.signatures.list("sha256:00")
    assert not either.signing_policies.list()
