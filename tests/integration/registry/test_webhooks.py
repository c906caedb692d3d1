"""Webhooks against real receivers: what they are told, proven, again, and never twice at once."""

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from registry.embedded.registry import EmbeddedRegistry
from registry.errors import NotFound
from registry.times import now
from registry.webhooks.backoff import Backoff
from registry.webhooks.deliverer import CLAIM_SECONDS, Deliverer, Pace, delivering, posting
from tests.integration.registry.receiver import Answer, Received, Receiver, receiving


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    opened = EmbeddedRegistry(tmp_path / "registry")
    yield opened
    opened.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as server:
        yield server


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = now() + timedelta(hours=1)  # after everything that a test makes due

    def __call__(self) -> datetime:
        return self.time

    def move(self, **amount: float) -> None:
        self.time += timedelta(**amount)


def drain(registry: EmbeddedRegistry, clock: Clock, *, timeout: float = 5.0, attempts: int = 3) -> None:
    pace = Pace(backoff=Backoff(attempts=attempts), timeout=timeout, clock=clock, chance=lambda: 1.0)

    async def run() -> None:
        async with posting() as client:
            await Deliverer(registry.deliveries, client, pace).drain()

    asyncio.run(run())


def verified(request: Received, secret: str) -> dict[str, object]:
    """The body, if the signature is what Standard Webhooks 1.0 says, written from its text."""
    assert secret.startswith("whsec_")
    signed = b".".join([request.headers["webhook-id"].encode(), request.headers["webhook-timestamp"].encode(),
                        request.body])  # fmt: skip
    expected = base64.b64encode(hmac.new(base64.b64decode(secret[6:]), signed, hashlib.sha256).digest()).decode()
    versions = dict(part.split(",", 1) for part in request.headers["webhook-signature"].split(" "))
    assert hmac.compare_digest(versions["v1"], expected)
    document = json.loads(request.body)
    assert isinstance(document, dict)
    return document


def test_events_arrive_signed_and_filtered(registry: EmbeddedRegistry, receiver: Receiver) -> None:
    clock = Clock()
    every = registry.webhooks.add(f"{receiver.url}/every?x=1", actor="ann")
    some = registry.webhooks.add(f"{receiver.url}/some", actor="ann", kinds=["key"], names=["ci_*", "all"])
    registry.webhooks.add(f"{receiver.url}/none", actor="ann", kinds=["alias"])
    for name in ("ci_1", "ci-2", "all"):
        registry.keys.create(name, actor="ann")
    drain(registry, clock)
    told = {path: [r for r in receiver.received if r.path == path] for path in ("/every?x=1", "/some", "/none")}
    documents = [verified(request, every.secret) for request in told["/every?x=1"]]
    assert sorted(json.loads(r.body)["data"]["subject"] for r in told["/some"]) == ["all", "ci_1"]
    assert [event.to_json() for event in registry.events.after(0)] == sorted(
        [document["data"] for document in documents], key=lambda data: data["id"]  # type: ignore[index]
    )  # fmt: skip
    assert {document["type"] for document in documents} == {"key"}
    assert all(abs(int(r.headers["webhook-timestamp"]) - clock.time.timestamp()) <= 1 for r in receiver.received)
    assert not told["/none"]
    with pytest.raises(AssertionError):
        verified(told["/some"][0], every.secret)
    verified(told["/some"][0], some.secret)
    drain(registry, clock)
    assert len(receiver.received) == 5
    assert [(hook.waiting, hook.dead, bool(hook.delivered)) for hook in registry.webhooks.list()] == [
        (0, 0, True), (0, 0, True), (0, 0, False)
    ]  # fmt: skip


def test_a_failure_is_tried_again_until_it_is_given_up_and_asked_for(
    registry: EmbeddedRegistry, receiver: Receiver
) -> None:
    clock = Clock()
    secret = registry.webhooks.add(receiver.url, actor="ann").secret
    registry.keys.create("ci", actor="ann")
    receiver.answer = lambda _: Answer(500, body=b"out of \x1b[31mpaper" + b"x" * 100_000)
    for moved in (0.0, 4.9, 0.1, 19.9, 0.1):
        clock.move(seconds=moved)
        drain(registry, clock)
    first, second, third = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == third.headers["webhook-id"]
    assert first.body == second.body
    assert first.headers["webhook-timestamp"] != second.headers["webhook-timestamp"]
    (dead,) = registry.webhooks.dead()
    assert (dead.id, dead.attempts) == (first.headers["webhook-id"], 3)
    assert "answered 500" in dead.failure
    assert "paper" in dead.failure
    assert dead.failure.isprintable()
    assert len(dead.failure) < 300
    clock.move(days=30)
    drain(registry, clock)
    assert len(receiver.received) == 3

    with pytest.raises(NotFound):
        registry.webhooks.redeliver([dead.id, "nothing-7"], actor="ann")
    assert registry.webhooks.dead() == [dead]
    assert registry.webhooks.redeliver([], actor="ann") == 1
    assert registry.webhooks.redeliver([], actor="ann") == 0
    receiver.answer = lambda _: Answer(204)
    drain(registry, clock)
    verified(receiver.received[-1], secret)
    assert receiver.received[-1].headers["webhook-id"] == dead.id
    assert registry.webhooks.dead() == []
    assert [entry.action for entry in registry.audit.list(actor="ann")].count("webhook redeliver") == 1


def test_a_receiver_can_ask_for_time_or_for_nothing_more(registry: EmbeddedRegistry, receiver: Receiver) -> None:
    clock = Clock()
    registry.webhooks.add(receiver.url, actor="ann")
    registry.keys.create("ci", actor="ann")
    receiver.answer = lambda _: Answer(429, {"retry-after": "600"})
    for moved in (0, 599):
        clock.move(seconds=moved)
        drain(registry, clock)
    assert len(receiver.received) == 1
    receiver.answer = lambda _: Answer(410)
    clock.move(seconds=1)
    drain(registry, clock)
    assert [dead.attempts for dead in registry.webhooks.dead()] == [2]


def test_redirects_dead_ports_and_slow_receivers_fail_alone(registry: EmbeddedRegistry, receiver: Receiver) -> None:
    clock, never = Clock(), threading.Event()
    answers = {"/moved": Answer(307, {"location": f"{receiver.url}/elsewhere"}), "/slow": Answer(wait=never)}
    receiver.answer = lambda request: answers.get(request.path, Answer())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed = f"http://127.0.0.1:{taken.getsockname()[1]}/closed"
    for url in (*(receiver.url + path for path in ("/moved", "/slow", "/good")), closed):
        registry.webhooks.add(url, actor="ann")
    registry.keys.create("ci", actor="ann")
    drain(registry, clock, timeout=0.3, attempts=1)
    never.set()
    assert sorted(request.path for request in receiver.received) == ["/good", "/moved", "/slow"]
    why = {dead.url.rpartition("/")[2]: dead.failure for dead in registry.webhooks.dead()}
    assert why.keys() == {"moved", "slow", "closed"}
    assert "redirects are not followed" in why["moved"]
    assert why["slow"] == "no answer within 0.3 s"
    assert "ConnectError" in why["closed"]


def test_servers_that_deliver_at_once_deliver_each_event_once(tmp_path: Path, receiver: Receiver) -> None:
    clock = Clock()
    servers = [EmbeddedRegistry(tmp_path / "registry") for _ in range(3)]
    servers[0].webhooks.add(receiver.url, actor="ann")
    for number in range(20):
        servers[0].keys.create(f"key-{number}", actor="ann")
    threads = [threading.Thread(target=drain, args=(server, clock)) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = [request.headers["webhook-id"] for request in receiver.received]
    assert len(told) == len(set(told)) == 20
    for server in servers:
        server.close()


def test_what_a_killed_server_had_claimed_is_delivered_by_another(
    registry: EmbeddedRegistry, receiver: Receiver
) -> None:
    clock = Clock()
    made = registry.webhooks.add(receiver.url, actor="ann").webhook
    registry.keys.create("ci", actor="ann")
    until = clock() + timedelta(seconds=CLAIM_SECONDS)
    (lost,) = registry.deliveries.claim(made.id, at=clock(), until=until, limit=4)
    drain(registry, clock)
    assert not receiver.received
    clock.move(seconds=CLAIM_SECONDS)
    receiver.answer = lambda _: Answer(503)
    drain(registry, clock)
    assert len(receiver.received) == 1
    registry.deliveries.failed(lost, "too late", at=clock(), due=None)
    assert registry.webhooks.dead() == []
    assert registry.webhooks.list()[0].waiting == 1


def test_a_server_delivers_while_it_runs(registry: EmbeddedRegistry, receiver: Receiver) -> None:
    told = threading.Event()
    receiver.answer = lambda _: told.set() or Answer()  # type: ignore[func-returns-value]
    registry.webhooks.add(receiver.url, actor="ann")

    async def serve() -> None:
        async with delivering(registry.deliveries, Pace(poll=0.01)):
            await asyncio.to_thread(registry.keys.create, "ci", actor="ann")
            assert await asyncio.to_thread(told.wait, 10)

    asyncio.run(serve())


def test_a_server_that_stops_leaves_its_deliveries_to_others(registry: EmbeddedRegistry, receiver: Receiver) -> None:
    told, never = threading.Event(), threading.Event()
    receiver.answer = lambda _: told.set() or Answer(wait=never)  # type: ignore[func-returns-value]
    registry.webhooks.add(receiver.url, actor="ann")
    registry.keys.create("ci", actor="ann")

    async def serve() -> None:
        async with delivering(registry.deliveries, Pace(poll=0.01)):
            assert await asyncio.to_thread(told.wait, 10)

    asyncio.run(serve())
    assert registry.deliveries.due(now())
    never.set()
    receiver.answer = lambda _: Answer()
    drain(registry, Clock())
    first, second = receiver.received
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert registry.webhooks.list()[0].waiting == 0


def test_a_change_and_all_that_tells_of_it_are_one(registry: EmbeddedRegistry, tmp_path: Path) -> None:
    import sqlite3

    from registry.errors import Unavailable

    registry.webhooks.add("http://127.0.0.1:1", actor="ann")
    for table in ("deliveries", "audit", "events"):
        with contextlib.closing(sqlite3.connect(tmp_path / "registry" / "registry.db")) as direct:
            direct.execute(f"create trigger no before insert on {table} begin select raise(abort, 'x'); end")
            with pytest.raises(Unavailable):
                registry.keys.create("ci", actor="ann")
            direct.execute("drop trigger no")
        assert (len(registry.keys.list()), registry.events.last_id(), registry.webhooks.list()[0].waiting) == (0, 0, 0)
        assert [entry.action for entry in registry.audit.list()] == ["webhook add"]
    registry.keys.create("ci", actor="ann")
    assert (registry.events.last_id(), registry.webhooks.list()[0].waiting) == (1, 1)


def test_removal_forgets_what_waits(registry: EmbeddedRegistry) -> None:
    made = registry.webhooks.add("http://127.0.0.1:1", actor="ann").webhook
    registry.keys.create("ci", actor="ann")
    registry.webhooks.remove(made.id, actor="ann")
    assert registry.webhooks.list() == []
    assert registry.deliveries.due(datetime.max.replace(tzinfo=UTC)) == []
    with pytest.raises(NotFound):
        registry.webhooks.remove(made.id, actor="ann")


def test_the_secret_is_told_once(
    registry: EmbeddedRegistry, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    receiver.answer = lambda _: Answer(500)
    made = registry.webhooks.add(receiver.url, actor="ann")
    registry.keys.create("ci", actor="ann")
    claim = registry.deliveries.claim(made.webhook.id, at=now(), until=now(), limit=1)
    drain(registry, Clock(), attempts=1)
    told = [repr(made), repr(claim), repr(registry.webhooks.list()), repr(registry.webhooks.dead()), caplog.text]
    told += [repr([entry.to_json() for entry in registry.audit.list()])]
    assert "given up" in caplog.text
    assert not [text for text in told if made.secret[6:] in text]
