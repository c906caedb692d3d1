"""Homes that stay, and loads that are bounded: the rule itself, then the rule over simulated engines."""

import math
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import InvalidInput
from serve.engine.share import Share, cpu_shares, gpu_shares
from serve.turns.affinity import SPREAD, Load, by_affinity, first_with_room
from serve.turns.slots import Slots
from tests.unit.serve.engine_world import Request, World

SLOTS, SEQUENCES = 2, 4


@given(st.text(), st.sets(st.integers(0, 20), min_size=1), st.data())
def test_only_the_adapters_of_an_engine_that_goes_move(digest: str, engines: set[int], data: st.DataObject) -> None:
    order = by_affinity(digest, engines)
    assert set(order) == engines
    gone = data.draw(st.sampled_from(sorted(engines)))
    assert by_affinity(digest, engines - {gone}) == [engine for engine in order if engine != gone]


def test_homes_are_spread_evenly_and_so_are_those_of_an_engine_that_went() -> None:
    orders = [by_affinity(f"sha256:{number}", range(4)) for number in range(2000)]
    assert all(400 < count < 600 for count in Counter(order[0] for order in orders).values())
    heirs = Counter(order[1] for order in orders if order[0] == 0)
    assert set(heirs) == {1, 2, 3}
    assert min(heirs.values()) > 100


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)).map(lambda two: Load(sum(two), two[0])), min_size=1))
def test_there_is_always_an_engine_below_the_bound_and_the_first_is_taken(loads: list[Load]) -> None:
    chosen = first_with_room(loads)
    most = math.ceil(SPREAD * (sum(load.inside for load in loads) + 1) / len(loads))
    assert not loads[chosen].waiting or loads[chosen].inside < most
    assert all(load.waiting and load.inside >= most for load in loads[:chosen])


class Street:
    """Simulated engines on one clock, and the rule between them; ``World`` holds each to its slots at every moment."""

    def __init__(self, engines: int) -> None:
        self.worlds = [self.new_world() for _ in range(engines)]
        self.ended: list[Request] = []
        self.down: set[int] = set()

    def new_world(self) -> World:
        return World(Slots(SLOTS, SEQUENCES, capacity=10_000))

    def until(self, now: float) -> None:
        for world in self.worlds:
            world.run([], now)

    def send(self, now: float, request: Request) -> None:
        usable = by_affinity(request.digest, set(range(len(self.worlds))) - self.down)
        loads = [Load(self.worlds[n].core.inside, sum(self.worlds[n].core.waiting.values())) for n in usable]
        chosen = usable[first_with_room(loads)]
        core = self.worlds[chosen].core
        found_waiting = bool(core.waiting)
        self.worlds[chosen].run([(now, request)], now)
        if found_waiting:
            assert core.inside <= math.ceil(SPREAD * (sum(load.inside for load in loads) + 1) / len(usable))

    def kill(self, number: int, now: float) -> list[Request]:
        """Who computed is lost; who waited waits elsewhere."""
        world = self.worlds[number]
        self.ended += world.done
        self.worlds[number] = self.new_world()
        self.worlds[number].now = now
        self.down.add(number)
        for request in world._waiting.values():
            self.send(now, request)
        return list(world._running.values())


requests = st.tuples(st.floats(0, 20), st.integers(0, 6), st.floats(0.01, 5), st.integers(0, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(requests, min_size=1, max_size=80), st.integers(2, 4), st.floats(0, 20), st.floats(0.1, 10), st.data())
def test_slots_and_bound_hold_and_nobody_is_lost_but_who_computed(
    arrivals: list[tuple[float, int, float, int]], engines: int, dies: float, away: float, data: st.DataObject
) -> None:
    street, victim = Street(engines), data.draw(st.integers(0, engines - 1))
    plan = [(when, Request(f"sha256:{digest}", f"key-{key}", seconds)) for when, digest, seconds, key in arrivals]
    events: list[tuple[float, str, Request | None]] = [(when, "came", request) for when, request in plan]
    lost: list[Request] = []
    for when, what, request in sorted([*events, (dies, "dies", None), (dies + away, "back", None)], key=lambda e: e[0]):
        street.until(when)
        if request:
            street.send(when, request)
        elif what == "dies":
            lost = street.kill(victim, when)
        else:
            street.down.discard(victim)
    street.until(1e9)
    done = street.ended + [request for world in street.worlds for request in world.done]
    assert len(done) + len(lost) == len(plan)
    assert {id(request) for request in done} | {id(request) for request in lost} == {id(request) for _, request in plan}


def test_what_each_engine_gets_of_the_machine() -> None:
    assert gpu_shares(None, None, "3,4") == gpu_shares(1, None, None) == (Share(),)
    assert gpu_shares(2, None, None) == (Share(("0",)), Share(("1",)))
    assert gpu_shares(2, None, "3,4,5") == (Share(("3",)), Share(("4",)))
    assert gpu_shares(None, "0, 2", None) == (Share(("0",)), Share(("2",)))
    assert gpu_shares(2, "0,1,2,3", None) == (Share(("0", "1")), Share(("2", "3")))
    assert cpu_shares(1, (0, 1)) == (Share(),)
    assert cpu_shares(2, (7, 0, 1)) == (Share(cores=(0,)), Share(cores=(1, 7)))


@pytest.mark.parametrize(
    ("engines", "devices", "visible"),
    [(2, "0,1,2", None), (3, "0", None), (1, "", None), (1, "0,0", None), (2, None, "0")],
)
def test_gpus_that_cannot_be_shared(engines: int, devices: str | None, visible: str | None) -> None:
    with pytest.raises(InvalidInput):
        gpu_shares(engines, devices, visible)


def test_more_engines_than_cores_are_refused() -> None:
    with pytest.raises(InvalidInput, match="4 engines need a core each"):
        cpu_shares(4, (0, 1))
