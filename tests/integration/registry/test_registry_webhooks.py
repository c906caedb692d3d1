"""Webhooks on PostgreSQL: servers that deliver at once deliver each event once, and changes go on beside them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from registry.embedded.registry import EmbeddedRegistry
from registry.embedded.stores import open_stores
from registry.settings import Settings
from tests.integration.registry.receiver import Receiver
from tests.integration.registry.test_webhooks import Clock, drain, receiver, verified

__all__ = ["receiver"]  # a fixture

SERVERS, KEYS = 3, 24


@pytest.fixture
def servers(scaled: Settings) -> Iterator[list[EmbeddedRegistry]]:
    opened = [EmbeddedRegistry(open_stores(scaled)) for _ in range(SERVERS)]
    yield opened
    for one in opened:
        one.close()


def test_each_event_is_delivered_once(servers: list[EmbeddedRegistry], receiver: Receiver) -> None:
    first, clock = servers[0], Clock()
    made = first.webhooks.add(receiver.url, actor="ann", kinds=["key"], names=["a*"])
    first.webhooks.remove(first.webhooks.add(receiver.url, actor="ann").webhook.id, actor="ann")
    all_made = threading.Event()

    def deliver(server: EmbeddedRegistry) -> None:
        while not all_made.is_set():
            drain(server, clock)
        drain(server, clock)

    with ThreadPoolExecutor(SERVERS) as pool:
        delivering = [pool.submit(deliver, server) for server in servers]
        for number in range(KEYS):
            servers[number % SERVERS].keys.create(f"{'ab'[number % 2]}-{number}", actor="ann")
        all_made.set()
        for one in delivering:
            one.result()
    wanted = first.events.after(0, names=["a-*"])
    assert len(wanted) == KEYS // 2
    assert sorted(int(str(request.headers["webhook-id"]).partition("-")[2]) for request in receiver.received) == [
        event.id for event in wanted
    ]
    for request in receiver.received:
        verified(request, made.secret)
    (left,) = first.webhooks.list()
    assert (left.waiting, left.dead) == (0, 0)
    assert [entry.action for entry in first.audit.list()].count("key create") == KEYS
