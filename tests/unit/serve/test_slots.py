"""The scheduler's promises on a simulated engine with a virtual clock."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.errors import QueueFull
from serve.turns.asker import Asker
from serve.turns.demand import Demand
from serve.turns.slots import BASE, Slots
from serve.turns.ticket import Ticket
from tests.unit.serve.engine_world import Request, World

QUANTUM = 2.0
LONGEST = 5.0
MOST_ANSWERS = 3

times = st.floats(0, 30, allow_nan=False)
adapters = st.one_of(st.just(BASE), st.sampled_from("abcdefgh"))
requests = st.builds(
    Request,
    adapters,
    st.sampled_from(["x", "y", "z"]),
    seconds=st.floats(0.01, LONGEST),
    tokens=st.integers(0, 2000),
    weight=st.sampled_from([0.5, 1.0, 4.0]),
    demand=st.builds(Demand, st.integers(0, 500), st.integers(1, MOST_ANSWERS)),
    patience=st.one_of(st.just(float("inf")), st.floats(0, 20)),
)
arrivals = st.lists(st.tuples(times, requests), max_size=120)


@given(arrivals, st.integers(1, 4), st.integers(0, 8), st.sampled_from([0, 0.5, 8]), st.booleans())
def test_everyone_is_served_within_the_stated_bound(
    arrivals: list[tuple[float, Request]], slots: int, more: int, patience: float, alone: bool
) -> None:
    core = Slots(slots, MOST_ANSWERS * slots + more, 1000, slots if alone else 0, QUANTUM, patience)
    world = World(core)
    world.run(arrivals)
    assert all(request.gone is not None for _, request in arrivals)
    rounds = patience * (1 + world.most_lines / slots) + (3 if alone else 1)
    for request in world.done:
        bound = (rounds + request.ahead // slots) * (QUANTUM + LONGEST) + LONGEST
        assert request.begun is not None
        assert request.behind or request.begun - request.came <= bound + 1e-9
    assert core.inside == core.running == core.computing == 0
    assert not core.waiting
    assert not len(core.keys)
    assert not len(core.adapters)


def shares(core: Slots, clients: dict[str, int], adapters_of: dict[str, str], weight: float = 1.0) -> dict[str, int]:
    """Tokens that each key is served in 2,000 s, the first tenth apart; ``weight`` is that of key a.

    Clients ask again as soon as they are answered; each of a key's adapters is as likely.
    """
    dice = Random(1)  # noqa: S311 - a simulation's

    def ask(key: str) -> Request:
        size = dice.choice([20, 100, 300])
        digest = dice.choice(adapters_of[key])
        return Request(digest, key, seconds=size / 40, tokens=size, weight=weight if key == "a" else 1.0)

    world = World(core, lambda request, _: ask(request.key))
    world.run([(0.0, ask(key)) for key, number in clients.items() for _ in range(number)], until=2000)
    late = [request for request in world.done if request.gone and request.gone > 200]
    return {key: sum(request.tokens for request in late if request.key == key) for key in clients}


def jain(values: list[int]) -> float:
    """Jain's index of fairness: 1 for equal values, 1/n if one has everything."""
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values))


FLOODED = {"a": 8, "b": 8, "c": 8, "flood": 200}


@pytest.mark.parametrize(
    ("slots", "adapters_of"),
    [
        (2, dict.fromkeys(FLOODED, "s")),
        (2, {"a": "1", "b": "2", "c": "3", "flood": "4567890"}),
        (4, {"a": "12", "b": "23", "c": "31", "flood": "1234567890"}),
    ],
)
def test_a_flood_from_one_key_takes_no_more_than_its_share(slots: int, adapters_of: dict[str, str]) -> None:
    served = shares(Slots(slots, 8, 1000), FLOODED, adapters_of)
    assert jain(list(served.values())) >= 0.95


def test_a_flood_that_comes_first_has_no_advantage_from_what_it_was_charged_too_much() -> None:
    """As ``bench/fairness.py`` does it: everybody comes at once, the flood first, with short answers."""
    short = Demand(prompt=5)
    world = World(Slots(2, 36, 1024), lambda done, _: Request(done.digest, done.key, 14, 20, demand=short))
    streams = [key for key, count in (("flood", 72), ("one", 12), ("two", 12), ("three", 12)) for _ in range(count)]
    world.run(
        [(0.001 * n, Request("ab"[n % 2], key, 14, 20, demand=short)) for n, key in enumerate(streams)], until=160
    )
    served = Counter(done.key for done in world.done if done.gone and done.gone > 20)
    assert jain(list(served.values())) >= 0.95


def test_twice_the_weight_is_twice_the_tokens() -> None:
    served = shares(Slots(1, 8, 1000), {"a": 30, "b": 30}, {"a": "1", "b": "1"}, weight=2.0)
    assert served["a"] / served["b"] == pytest.approx(2, rel=0.05)


def test_a_rare_adapter_does_not_wait_behind_seven_floods() -> None:
    dice = Random(2)  # noqa: S311 - a simulation's

    def ask(request: Request, now: float) -> Request | None:  # noqa: ARG001 - the world's signature
        return None if request.digest == "rare" else Request(dice.choice("1234567"), seconds=dice.uniform(1, LONGEST))

    floods = [(0.0, Request(dice.choice("1234567"), seconds=LONGEST)) for _ in range(200)]
    rare = [(40.0 * number, Request("rare")) for number in range(1, 30)]
    world = World(Slots(2, 18, 1000), ask)
    world.run([*floods, *rare], until=1300)
    waits = [request.begun - request.came for _, request in rare if request.begun is not None]
    assert len(waits) == len(rare)
    assert max(waits) <= 2 * (QUANTUM + LONGEST) + LONGEST


@pytest.mark.parametrize("adapter", ["1", "3"])
def test_ever_new_keys_cannot_starve_one_that_has_been_served_much(adapter: str) -> None:
    dice = Random(4)  # noqa: S311 - a simulation's
    fresh = [(1.0 * number, Request(dice.choice("12"), f"fresh{number}", LONGEST)) for number in range(600)]
    much = (1.0, Request("1", "served", tokens=10**6))
    late = Request(adapter, "served")
    world = World(Slots(2, 4, 10_000))
    world.run([*fresh, much, (20.0, late)], until=1000)
    rounds = 8 * (1 + world.most_lines / 2) + 1
    assert late.begun is not None
    # Of those ahead nearly all are served before it is overdue; what is left of them is the bound's p.
    assert late.begun - late.came <= (rounds + late.ahead // 2) * (QUANTUM + LONGEST) + LONGEST


def test_a_slot_stays_when_the_claim_to_it_gives_up() -> None:
    core = Slots(1, 2, 10, quantum=0)
    first, more, claim, last = (Ticket(digest, Asker(), 0, Demand(), lambda: None) for digest in "aaba")
    for ticket in (first, more, claim, last):
        core.enter(ticket, 1)
    core.leave(more, 100, 2)
    assert not last.admitted
    core.leave(claim, 0, 3)
    assert last.admitted


def test_an_answer_counts_before_it_is_complete_and_is_corrected_after() -> None:
    core = Slots(1, 8, 10)
    stays, ticket = (Ticket("a", Asker(key), 0, Demand(50), lambda: None) for key in ("other", "k"))
    core.enter(stays, 0)
    core.enter(ticket, 0)
    before = core.keys["k"].served
    assert ticket.charged > 50
    core.leave(ticket, ticket.charged + 300, 1)
    assert core.keys["k"].served == pytest.approx(before + 300)
    again = Ticket("a", Asker("k"), 1, Demand(50), lambda: None)
    core.enter(again, 1)
    assert again.charged > ticket.charged  # longer answers are expected of it now


def test_a_request_for_several_answers_takes_as_many_sequences_and_is_charged_for_each() -> None:
    core = Slots(1, 4, 10)
    many, behind = (Ticket("a", Asker(), 0, Demand(10, answers), lambda: None) for answers in (6, 1))
    core.enter(many, 0)
    core.enter(behind, 0)
    assert many.admitted
    assert not behind.admitted
    core.leave(many, 10 + 6 * 200, 1)
    assert behind.admitted
    assert behind.charged < 10 + 200  # what was learnt is the length of one answer


def test_many_adapters_on_few_slots_keep_the_batch_full() -> None:
    dice = Random(3)  # noqa: S311 - a simulation's
    names = [f"a{number}" for number in range(32)]
    popularity = [1 / (number + 1) for number in range(32)]
    filled: list[int] = []

    def ask(request: Request, now: float) -> Request:  # noqa: ARG001 - the world's signature
        filled.append(world.core.running)
        return Request(dice.choices(names, popularity)[0], seconds=dice.uniform(1, LONGEST))

    world = World(Slots(8, 64, 1000), ask)
    first = [(0.0, Request(dice.choices(names, popularity)[0], seconds=dice.uniform(1, LONGEST))) for _ in range(400)]
    world.run(first, until=300)
    assert sum(filled) / len(filled) >= 0.9 * 64


def test_a_burst_of_equal_answers_leaves_no_slot_to_drain_while_a_deep_line_waits() -> None:
    """As measured on a GPU: a whole batch ends at once, and the deepest line came too late for a slot."""
    shallow = [(0.01 * number, Request(f"a{number % 8}", seconds=LONGEST)) for number in range(400)]
    deep = [(4.5, Request("deep", seconds=LONGEST)) for _ in range(400)]
    tail = [(4.6, Request(f"b{number % 22}", seconds=LONGEST)) for number in range(44)]
    world = World(Slots(8, 200, 1000))
    world.run([*shallow, *deep, *tail])
    full = [sum(r.begun <= at < r.gone for r in world.done if r.begun is not None and r.gone) for at in (3, 8, 13, 18)]
    assert min(full) >= 180, full


@pytest.mark.parametrize(("key", "most"), [("key", 1.5 * (QUANTUM + 1) + QUANTUM + 1), ("other", QUANTUM + 1)])
def test_lines_that_fill_the_batch_make_way_after_a_round_or_for_a_key_served_less(key: str, most: float) -> None:
    lines = [(0.13 * number, Request("ab"[number % 2], seconds=1)) for number in range(8)]
    claim = Request("c", key)
    world = World(Slots(2, 4, 100), lambda request, _: None if request is claim else Request(request.digest, seconds=1))
    world.run([*lines, (20.0, claim)], until=100)
    assert claim.begun is not None
    assert claim.begun - claim.came <= most


def test_base_requests_need_a_sequence_and_no_slot() -> None:
    core = Slots(1, 2, 10)
    adapter, base, late = (Ticket(digest, Asker(), 0, Demand(), lambda: None) for digest in ("a", BASE, BASE))
    for ticket in (adapter, base, late):
        core.enter(ticket, 0)
    assert adapter.admitted
    assert base.admitted
    assert not late.admitted
    assert core.active == {"a": 1}
    core.leave(adapter, 10, 1)
    assert late.admitted


def test_a_key_that_fills_the_queue_is_refused_while_others_may_enter() -> None:
    core = Slots(1, 1, 16)

    def enter(key: str) -> None:
        core.enter(Ticket("a", Asker(key), 0, Demand(), lambda: None), 0)

    for _ in range(14):
        enter("flood")
    with pytest.raises(QueueFull):
        enter("flood")
    enter("other")
    enter("third")
    with pytest.raises(QueueFull):
        enter("fourth")
    assert core.inside == 16


def test_a_key_that_was_away_has_saved_nothing_up() -> None:
    core = Slots(1, 1, 1000)
    world = World(core)
    early = [(float(number), Request("a", "worker")) for number in range(100)]
    both = [(100.0, Request("a", key)) for _ in range(40) for key in ("worker", "idler")]
    world.run([(0.0, Request("a", "idler")), *early, *both], until=121)
    late = [request.key for request in world.done if request.begun is not None and request.came == 100.0]
    assert abs(late.count("worker") - late.count("idler")) <= 4


def test_accounts_of_those_who_went_are_forgotten() -> None:
    core = Slots(1, 4, 10_000)
    world = World(core)
    stays = [(0.5 * number, Request("a", "stays", seconds=2)) for number in range(2000)]
    guests = [(0.5 * number, Request("a", f"guest{number}")) for number in range(2000)]
    world.run([*stays, *guests], until=900)
    assert len(core.keys) < 1000
