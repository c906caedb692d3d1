"""Events over a real server: followed as they happen, gone on with after a cut, and seen by those who may."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from registry.base_model import BaseModel
from registry.cli import registry as command
from registry.embedded.audit import acting
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import Refused, Unavailable
from registry.event import KINDS, Event
from registry.remote.audit import Audit
from registry.remote.connection import Connection
from registry.remote.events import Events, parsed
from registry.remote.webhooks import Webhooks
from registry.server.app import ServerOptions, build
from registry.server.running import Server
from registry.times import now
from tests.unit.registry.conftest import MakeAdapter

Connect = Callable[..., Connection]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    opened = EmbeddedRegistry(tmp_path / "registry")
    yield opened
    opened.close()


@contextmanager
def serving(registry: EmbeddedRegistry, folder: Path, port: int = 0, *, keys: bool = False) -> Iterator[int]:
    """Serve on loopback; the port stays free for another server afterwards."""
    options = ServerOptions(uploads=folder / "uploads", upload_limit=1 << 20, keys_required=keys, redirects=False)
    server = Server(build(registry, options))
    with socket.create_server(("127.0.0.1", port)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


@pytest.fixture
def connect() -> Iterator[Connect]:
    opened: list[Connection] = []

    def to(port: int, token: str = "") -> Connection:
        opened.append(Connection(f"http://127.0.0.1:{port}", token))
        return opened[-1]

    yield to
    for connection in opened:
        connection.close()


def make(registry: EmbeddedRegistry, *names: str) -> list[int]:
    """A key for each name: the cheapest event. Returns the ids of the events."""
    before = registry.events.last_id()
    for name in names:
        registry.keys.create(name, actor="ann")
    return list(range(before + 1, before + 1 + len(names)))


class Follower:
    """Follows in a thread, and keeps what it hears."""

    def __init__(self, events: Events, after: int, until: int, **filters: tuple[str, ...]) -> None:
        self.heard: list[Event] = []
        self._until = until
        self._thread = threading.Thread(target=self._run, args=(events.follow(after, **filters),), daemon=True)
        self._thread.start()

    def wait(self, count: int = 0) -> list[int]:
        """Ids of what was heard, when there are so many; all, when no count is given."""
        end = time.monotonic() + 20
        while (len(self.heard) < count if count else self._thread.is_alive()) and time.monotonic() < end:
            time.sleep(0.01)
        return [event.id for event in self.heard]

    def _run(self, events: Iterator[Event]) -> None:
        for event in events:
            self.heard.append(event)
            if event.id == self._until:
                break


def test_a_restarted_server_loses_and_doubles_nothing(
    registry: EmbeddedRegistry, tmp_path: Path, connect: Connect
) -> None:
    before = make(registry, "seen", "unseen")
    with serving(registry, tmp_path) as port:
        connection = connect(port)
        follower = Follower(Events(connection), before[0], until=before[1] + 6)
        assert follower.wait(1) == [before[1]]
        first = make(registry, "a", "b")
        assert follower.wait(3) == [before[1], *first]
    away = make(registry, "c", "d")
    with serving(registry, tmp_path, port):
        last = make(registry, "e", "f")
        assert follower.wait() == [before[1], *first, *away, *last]
    assert [event.subject for event in follower.heard] == ["unseen", "a", "b", "c", "d", "e", "f"]
    assert follower.heard == registry.events.after(before[0])


def test_the_newest_id_is_heard_asked_for_and_missed(
    registry: EmbeddedRegistry, tmp_path: Path, connect: Connect
) -> None:
    make(registry, "a")
    with serving(registry, tmp_path) as port:
        connection = connect(port)
        events = Events(connection)
        assert events.last_id() == 1
        end = time.monotonic() + 10
        while events._heard is None and time.monotonic() < end:
            time.sleep(0.01)
        make(registry, "b")
        assert events.last_id(fresh=True) == 2
        while events.last_id() < 2 and time.monotonic() < end:
            time.sleep(0.01)
        assert events.last_id() == 2
        assert [event.subject for event in events.after(0, names=["b*"])] == ["b"]
        assert events.after(0, limit=1) == registry.events.after(0, limit=1)
    while events._heard is not None and time.monotonic() < end:
        time.sleep(0.01)
    with pytest.raises(Unavailable):
        events.last_id()
    make(registry, "c")
    with serving(registry, tmp_path, port):
        assert events.last_id() == 3
        events.close()


def test_a_stream_is_as_browsers_want_it(registry: EmbeddedRegistry, tmp_path: Path) -> None:
    make(registry, "a", "b", "c", "d")
    with serving(registry, tmp_path) as port, httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
        asked = {"params": {"after": "4", "kind": "key"}, "headers": {"last-event-id": "2"}}
        with client.stream("GET", "/events", **asked) as response:  # type: ignore[arg-type]
            assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
            blocks = response.iter_text()
            text = ""
            while text.count("\n\n") < 3:
                text += next(blocks)
        ids = [line for line in text.splitlines() if line.startswith("id")]
        assert ids == ["id: 2", "id: 3", "id: 4"]
        data = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
        assert [Event.from_json(document) for document in data] == registry.events.after(2)
        page = client.get("/events/after", params={"id": 1, "limit": 2}).json()
        assert [event["id"] for event in page["events"]] == [2, 3]
        assert page["last_id"] == 4
        for wrong in ({"kind": "keys"}, {"id": -1}, {"id": 2**40}, {"limit": 501}, {"name": "a\x00"}):
            assert 400 <= client.get("/events/after", params=wrong).status_code < 500
        assert client.get("/events", headers={"last-event-id": "x"}).status_code in {400, 422}


def test_a_key_hears_of_what_it_may_name(registry: EmbeddedRegistry, tmp_path: Path, connect: Connect) -> None:
    tokens = {
        "limited": registry.keys.create("limited", actor="ann", scopes=["read"], adapters=["team/*"]).token,
        "admin": registry.keys.create("admin", actor="ann", scopes=["admin"]).token,
        "infer": registry.keys.create("infer", actor="ann").token,
    }
    from registry.embedded.events import announce

    with registry._database.write() as connection:
        for subject in ("team/x", "other", "team/y"):
            announce(connection, "alias", subject, {})
    with serving(registry, tmp_path, keys=True) as port:
        limited, admin = (Events(connect(port, tokens[name])) for name in ("limited", "admin"))
        assert [event.id for event in limited.after(0)] == [4, 6]
        assert [event.id for event in limited.after(0, limit=1)] == [4]
        assert [event.id for event in admin.after(0)] == [1, 2, 3, 4, 5, 6]
        assert limited.last_id() == 6
        assert Follower(limited, 0, until=6, kinds=("alias",)).wait() == [4, 6]
        assert Follower(admin, 0, until=6, names=("other", "team/y")).wait() == [5, 6]
        for name in ("infer", "limited"):
            with pytest.raises(Refused):
                Audit(connect(port, tokens[name])).list()
        with pytest.raises(Refused):
            next(Events(connect(port, tokens["infer"])).follow(0))
        the_remote_rooms(connect(port, tokens["admin"]), registry)


def the_remote_rooms(connection: Connection, registry: EmbeddedRegistry) -> None:
    webhooks = Webhooks(connection)
    made = webhooks.add("http://127.0.0.1:9/x", actor="whoever", kinds=["key"], names=["ci*"])
    assert made.secret.startswith("whsec_")
    assert webhooks.list() == registry.webhooks.list() == [made.webhook]
    registry.keys.create("ci", actor="ann")
    (claim,) = registry.deliveries.claim(made.webhook.id, at=now(), until=now(), limit=1)
    registry.deliveries.failed(claim, "no", at=now(), due=None)
    assert webhooks.dead() == webhooks.dead(made.webhook.id) == registry.webhooks.dead()
    assert len(webhooks.dead()) == 1
    assert webhooks.redeliver([claim.delivery.id], actor="whoever") == 1
    webhooks.remove(made.webhook.id, actor="whoever")
    entries = Audit(connection).list(actor="admin", since=made.webhook.created)
    admin = next(key for key in registry.keys.list() if key.name == "admin")
    assert [(entry.action, entry.actor, entry.key) for entry in entries] == [
        (action, "admin", admin.id) for action in ("webhook add", "webhook redeliver", "webhook remove")
    ]
    assert Audit(connection).list("ci") == registry.audit.list("ci")


def test_who_did_what(registry: EmbeddedRegistry) -> None:
    with acting("ci", "0123456789ab"):
        registry.keys.create("a", actor="ann")
        registry.keys.revoke("a")
    registry.keys.create("b", actor="bob")
    told = [(entry.actor, entry.key, entry.action, entry.subject, entry.result) for entry in registry.audit.list()]
    assert told == [
        ("ann", "0123456789ab", "key create", "a", "done"),
        ("ci", "0123456789ab", "key revoke", "a", "done"),
        ("bob", "", "key create", "b", "done"),
    ]
    assert [entry.id for entry in registry.audit.list(actor="0123456789ab")] == [1, 2]
    assert [entry.id for entry in registry.audit.list(actor="ann")] == [1]
    assert [entry.id for entry in registry.audit.list("b")] == [3]
    assert [entry.id for entry in registry.audit.list(limit=2)] == [2, 3]
    assert registry.audit.list(since=registry.audit.list()[2].at) == registry.audit.list()[2:]


def test_a_push_and_a_refused_promotion_are_told_of(
    registry: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    version = registry.versions.push(make_adapter(), "support", actor="ada", base=base).version
    registry.aliases.promote("support:1", "canary", actor="bob")
    with pytest.raises(Refused):
        registry.aliases.promote("support:1", "prod", actor="eve")
    with pytest.raises(Refused):
        registry.aliases.rollback("support", "canary", actor="eve")
    told = [(entry.actor, entry.action, entry.result.partition(":")[0]) for entry in registry.audit.list("support")]
    assert told == [
        ("ada", "push", "done"),
        ("bob", "promote", "done"),
        ("eve", "promote", "refused"),
        ("eve", "rollback", "refused"),
    ]
    assert registry.audit.list("support")[0].detail == {"number": 1, "digest": version.digest}
    assert [event.kind for event in registry.events.after(0)] == ["version", "alias"]


def test_every_kind_that_is_announced_is_known() -> None:
    folder = Path(__file__).parents[3] / "registry" / "embedded"
    announced = {
        kind
        for file in folder.glob("*.py")
        for kind in re.findall(r'announce\(\s*connection, "(\w+)"', file.read_text())
    }
    assert announced
    assert announced <= set(KINDS)


def test_what_was_cut_off_is_no_event() -> None:
    event = Event(id=7, kind="key", subject="x", payload={"a": "b\n\u2028"}, created=now())
    whole = f"id: 7\ndata: {json.dumps(event.to_json())}\n\n"
    assert list(parsed(f"retry: 1\nid: 5\n\n{whole}".splitlines())) == [(5, None), (7, event)]
    assert list(parsed(whole[:-2].splitlines())) == []


def test_watching_and_asking(tmp_path: Path) -> None:
    environment = {"ADAPTORY_HOME": str(tmp_path), "ADAPTORY_REGISTRY": "", "ADAPTORY_ACTOR": "ann"}

    def run(*words: str) -> str:
        done = CliRunner().invoke(command, words, env=environment)
        return done.output if done.exit_code == 0 else f"{done.exit_code}: {done.output}"

    assert run("audit") == "Nothing was done.\n"
    run("key", "create", "ci")
    assert "key create" in run("audit", "ci")
    assert "Nothing" in run("audit", "--actor", "bob")
    (entry,) = json.loads(run("audit", "--json", "--since", "2020-01-01"))
    assert (entry["actor"], entry["action"], entry["result"]) == ("ann", "key create", "done")
    assert run("watch", "--kind", "keys").startswith("2: Error: 'keys'")
    heeded = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"  # whatever started the tests
    program = f"{heeded}; from registry.cli import registry; registry()"
    watch = [sys.executable, "-c", program, "watch", "ci", "--after", "0", "--json"]
    with subprocess.Popen(watch, env=os.environ | environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["subject"] == "ci"
        run("key", "create", "other")
        run("key", "revoke", "ci")
        assert json.loads(process.stdout.readline())["id"] == 3
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
