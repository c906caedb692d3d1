"""The rows of servers, and the commands that read them."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from registry.base_model import BaseModel
from registry.cli import registry as command
from registry.embedded.registry import EmbeddedRegistry
from registry.embedded.replicas import FORGOTTEN_AFTER
from registry.replica_status import FAILED, SERVING, AliasStatus, ReplicaStatus
from registry.store import Registry
from registry.times import now
from tests.unit.registry.conftest import MakeAdapter


def status(base: BaseModel, id: str, **changes: object) -> ReplicaStatus:  # noqa: A002 - it is the replica's id
    fields: dict[str, object] = {
        "id": id, "host": "here", "pid": 7, "url": f"http://{id}:8000", "base_name": base.name,
        "base_fingerprint": base.fingerprint, "profile": "sha256:aa", "started": now(), "heartbeat": now(),
    }  # fmt: skip
    return ReplicaStatus(**fields | changes)  # type: ignore[arg-type]


def run(registry: EmbeddedRegistry, *arguments: str) -> Result:
    environment = {
        "ADAPTORY_REGISTRY": str(Path(str(registry._database.engine.url.database)).parent),
        "ADAPTORY_ACTOR": "ada",
    }
    return CliRunner().invoke(command, arguments, env=environment)


@pytest.fixture
def pushed(embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter) -> EmbeddedRegistry:
    for seed in (1, 2):
        embedded.versions.push(make_adapter(seed), "support", actor="ada", base=base)
    return embedded


def test_a_row_is_written_kept_fresh_and_removed(registry: Registry, base: BaseModel) -> None:
    entry = AliasStatus(name="a", alias="prod", moved=now(), number=1, digest="sha256:bb", state=FAILED, failure="no")
    written = status(base, "one", aliases=(entry,), heartbeat=now() - timedelta(minutes=1))
    assert not registry.replicas.beat("one")
    registry.replicas.put(written)
    assert registry.replicas.list(base.fingerprint) == [written]
    assert registry.replicas.list("sha256:other") == []
    assert written.silent(now())
    assert registry.replicas.beat("one")
    (fresh,) = registry.replicas.list()
    assert not fresh.silent(now())
    assert fresh.aliases == (entry,)
    registry.replicas.remove("one")
    registry.replicas.remove("one")
    assert registry.replicas.list() == []


def test_rows_of_servers_that_were_killed_are_forgotten(registry: Registry, base: BaseModel) -> None:
    registry.replicas.put(status(base, "dead", heartbeat=now() - FORGOTTEN_AFTER - timedelta(seconds=1)))
    registry.replicas.put(status(base, "alive"))
    assert [replica.id for replica in registry.replicas.list()] == ["alive"]


def test_with_no_server_waiting_ends_at_once(pushed: EmbeddedRegistry) -> None:
    done = run(pushed, "promote", "support:1", "canary", "--wait")
    assert (done.exit_code, done.stdout) == (0, "support@canary is now support:1\n")
    assert "No server of this base runs." in done.stderr


def test_silent_servers_are_named_and_not_waited_for(pushed: EmbeddedRegistry, base: BaseModel) -> None:
    pushed.replicas.put(status(base, "silent", heartbeat=now() - timedelta(minutes=5)))
    done = run(pushed, "promote", "support:1", "canary", "--wait", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["replicas"][0]["state"] == "silent"
    assert "Not waited for: http://silent:8000 (process 7 on here), not heard of since" in done.stderr


def test_a_server_that_keeps_the_old_version_is_one_red_line_and_exit_code_1(
    pushed: EmbeddedRegistry, base: BaseModel
) -> None:
    pushed.aliases.promote("support:1", "canary", actor="ada")
    pushed.aliases.promote("support:2", "canary", actor="ada")
    old, new = pushed.versions.list("support")
    pushed.replicas.put(status(base, "one"))
    done = run(pushed, "rollback", "support", "canary", "--wait", "--timeout", "0")
    assert done.exit_code == 1
    assert done.stdout == "support@canary is support:1 again\n"
    assert done.stderr == (
        "Error: support@canary is support:1 in the registry, but 1 of 1 replicas do not serve it: http://one:8000 "
        "(process 7 on here): it has not heard of the move yet. registry replicas\n"
    )
    moved = pushed.aliases.list("support")[0].moved
    entry = AliasStatus(name="support", alias="canary", moved=moved, number=2, digest=new.digest, state=FAILED,
                        failure="it is broken")  # fmt: skip
    pushed.replicas.put(status(base, "one", aliases=(entry,)))
    listed = run(pushed, "replicas")
    assert "support@canary = support:2 (it is broken)" in listed.stdout
    good = AliasStatus(name="support", alias="canary", moved=moved, number=1, digest=old.digest, state=SERVING)
    pushed.replicas.put(status(base, "one", aliases=(good,)))
    assert json.loads(run(pushed, "replicas", "--json").stdout)[0]["aliases"][0]["state"] == "serving"
