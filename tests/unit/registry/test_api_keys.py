import hashlib
import json
import sqlite3
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from registry.api_key import SCOPES, ApiKey, Limits, id_of
from registry.cli import registry as command
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import Conflict, InvalidInput, NotFound, Unavailable
from registry.store import Registry
from registry.usage import Usage

LATER = datetime.now(UTC) + timedelta(days=400)


def test_a_key_is_read_back_and_proves_its_token_only(registry: Registry) -> None:
    limits = Limits(requests_per_minute=60, tokens_per_minute=1000, concurrent=4)
    made = registry.keys.create(
        "ci", actor="ann", scopes=("infer", "read"), adapters=("team/*", "x"), limits=limits, weight=2.5,
        lifetime=timedelta(days=90),
    )  # fmt: skip
    other = registry.keys.create("other", actor="ann")
    assert registry.keys.list() == [made.key, other.key]
    assert made.key.scopes == ("read", "infer")
    assert made.key.limits == limits
    assert id_of(made.token.encode()) == made.key.id
    assert made.key.proves(made.token.encode())
    assert not made.key.proves(other.token.encode())
    assert made.key.usable(made.key.created)
    assert not made.key.usable(LATER)
    assert other.key.usable(LATER)


def test_no_secret_is_on_the_disk(registry: Registry, tmp_path: Path) -> None:
    token = registry.keys.create("ci", actor="ann").token
    kept = b"".join(file.read_bytes() for file in (tmp_path / "registry").rglob("registry.db*"))
    assert hashlib.sha256(token.encode()).hexdigest().encode() in kept
    assert token.encode()[16:] not in kept


def test_names_are_taken_while_their_key_works(registry: Registry) -> None:
    first = registry.keys.create("ci", actor="ann").key
    with pytest.raises(Conflict):
        registry.keys.create("ci", actor="ann")
    (revoked,) = registry.keys.revoke("ci")
    assert revoked.id == first.id
    assert not revoked.usable(revoked.created)
    second = registry.keys.create("ci", actor="ann").key
    assert [key.id for key in registry.keys.find("ci")] == [first.id, second.id]
    assert [key.id for key in registry.keys.revoke(second.id)] == [second.id]
    with pytest.raises(Conflict):
        registry.keys.revoke("ci")
    with pytest.raises(NotFound):
        registry.keys.revoke("nobody")


def test_servers_hear_of_keys_from_the_outbox(registry: Registry) -> None:
    key = registry.keys.create("ci", actor="ann").key
    registry.keys.revoke(key.id)
    assert [(event.kind, event.subject, event.payload) for event in registry.events.after(0)] == [
        ("key", "ci", {"id": key.id})
    ] * 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a\nb"},
        {"name": "[/red]"},
        {"name": "x" * 65},
        {"name": "anonymous"},
        {"scopes": ()},
        {"scopes": ("infer", "everything")},
        {"adapters": ("Team",)},
        {"adapters": ("support:1",)},
        {"adapters": ("support@prod",)},
        {"adapters": ("",)},
    ],
)
def test_what_cannot_be_a_key_is_refused(registry: Registry, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        registry.keys.create(wrong.pop("name", "ci"), actor="ann", **wrong)  # type: ignore[arg-type]
    assert not registry.keys.list()


@pytest.mark.parametrize(
    ("patterns", "yes", "no"),
    [
        ((), ["support", "team/x"], []),
        (("team/*",), ["team/x"], ["support", "team", "teamx/y", "other/team/"]),
        (("support", "x*"), ["support", "x", "xyz"], ["support2", "a/support"]),
    ],
)
def test_patterns(patterns: tuple[str, ...], yes: list[str], no: list[str]) -> None:
    key = ApiKey(id="", name="", hash="", scopes=SCOPES, adapters=patterns, limits=Limits(), weight=1.0, created=LATER,
                 actor="")  # fmt: skip
    assert all(map(key.may_name, yes))
    assert not any(map(key.may_name, no))


@given(st.binary())
def test_whatever_is_no_token_has_no_id(junk: bytes) -> None:
    assert id_of(junk) is None
    assert id_of(b"ak-" + junk) is None


def amount(key: str, number: int, day: int, tokens: int) -> Usage:
    return Usage(
        key=key, adapter="demo", number=number, day=date(2030, 1, day), requests=1, tokens_in=tokens, tokens_out=1
    )


def test_usage_adds_up_and_is_found(registry: Registry) -> None:
    key = registry.keys.create("ci", actor="ann").key
    registry.usage.add([amount(key.id, 1, 1, 10), amount("anonymous", 0, 2, 5)], {key.id: LATER})
    registry.usage.add([amount(key.id, 1, 1, 2**40), amount(key.id, 2, 3, 1)], {})
    first, open_, last = registry.usage.list()
    assert (first.requests, first.tokens_in, first.tokens_out) == (2, 10 + 2**40, 2)
    assert registry.usage.list(keys=[key.id]) == [first, last]
    assert registry.usage.list(since=date(2030, 1, 2)) == [open_, last]
    assert registry.usage.list(adapter="other") == []
    assert registry.keys.list()[0].last_used == LATER


def test_usage_is_written_as_a_whole_or_not_at_all(registry: Registry, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "registry" / "registry.db") as direct:
        direct.execute(
            "create trigger no before insert on usage when new.number = 2 begin select raise(abort, 'x'); end"
        )
    direct.close()
    with pytest.raises(Unavailable):
        registry.usage.add([amount("anonymous", 1, 1, 1), amount("anonymous", 2, 1, 1)], {})
    assert registry.usage.list() == []


def run(home: Path, *words: str) -> Result:
    environment = {"ADAPTORY_HOME": str(home), "ADAPTORY_REGISTRY": "", "ADAPTORY_ACTOR": "ann"}
    return CliRunner().invoke(command, words, env=environment)


def test_the_commands(tmp_path: Path) -> None:
    assert "registry key create" in run(tmp_path, "key", "list").stdout
    made = run(tmp_path, "key", "create", "ci", "--scope", "infer", "--adapter", "team/*", "--expires", "90d",
               "--requests-per-minute", "60", "--weight", "2")  # fmt: skip
    token = made.stdout.strip()
    assert id_of(token.encode())
    assert token not in made.stderr
    as_json = json.loads(run(tmp_path, "key", "create", "all", "--json").stdout)
    assert as_json["secret"].startswith(f"ak-{as_json['id']}-")
    listed = run(tmp_path, "key", "list").stdout + run(tmp_path, "key", "list", "--json").stdout
    assert "60 requests/min" in listed
    assert token[15:] not in listed
    assert "hash" not in listed
    assert "works no longer" in run(tmp_path, "key", "revoke", "ci").stdout
    assert json.loads(run(tmp_path, "key", "list", "--json").stdout)[0]["revoked"]


@pytest.mark.parametrize(
    "words",
    [
        ("create", "ci", "--expires", "soon"),
        ("create", "ci", "--scope", "all"),
        ("create", "ci", "--adapter", "../x"),
        ("create", "ci", "--concurrent", "0"),
        ("revoke", "nobody"),
    ],
)
def test_mistakes_exit_with_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(tmp_path, "key", *words)
    assert done.exit_code == 2
    assert done.stdout == ""


def test_the_usage_command(tmp_path: Path) -> None:
    assert run(tmp_path, "usage").stdout == "Nothing was used.\n"
    key = json.loads(run(tmp_path, "key", "create", "ci", "--json").stdout)["id"]
    registry = EmbeddedRegistry(tmp_path / "registry")
    registry.usage.add([amount(key, 1, 1, 10), amount("anonymous", 0, 2, 5)], {})
    registry.close()
    (row,) = json.loads(run(tmp_path, "usage", "--key", "ci", "--json").stdout)
    assert row["key_name"] == "ci"
    assert row["tokens_in"] == 10
    assert "demo:1" in run(tmp_path, "usage", "--key", key).stdout
    assert "demo:1" not in run(tmp_path, "usage", "--since", "2030-01-02").stdout
    assert len(json.loads(run(tmp_path, "usage", "--key", "anonymous", "--json").stdout)) == 1
    assert run(tmp_path, "usage", "--key", "nobody").exit_code == 2
