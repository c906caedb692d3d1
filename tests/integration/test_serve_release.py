"""Releases before a real vLLM: a bad candidate goes by itself, and no client notices more than its answers."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from registry.bases import LocalBases
from registry.release import ROLLED_BACK, SHADOW, STOPPED, Plan, Release, ReleaseLimits
from registry.tally import CANDIDATE, CURRENT, PAIRS, Tally
from tests.integration.serve_fixtures import NO, Server, Workshop, wait_for

JSON = " []"  # a token of its own, and nearer to itself than any other is
LIST = JSON.strip()
LIMITS = ReleaseLimits(min_requests=10)
CLIENTS = 4


@dataclasses.dataclass
class Stage:
    """An adapter of which version 1 answers JSON, under the alias live, and its versions after it."""

    server: Server
    workshop: Workshop
    name: str

    @property
    def release(self) -> Release:
        return self.workshop.registry.releases.get(self.name, "live")

    def start(self, plan: Plan) -> None:
        self.workshop.registry.releases.start(f"{self.name}:2", "live", plan, actor="test")

    def ask(self, user: str) -> tuple[str, str]:
        """What a user is told, and by which version."""
        raw = self.server.client.completions.with_raw_response.create(
            model=f"{self.name}@live", prompt="Say", max_tokens=1, temperature=0, user=user
        )
        return raw.parse().choices[0].text.strip(), raw.headers["x-adaptory-version"]

    def ask_until(self, over: Callable[[], bool]) -> list[tuple[str, str]]:
        """What users are told, one after the other with each client; an error fails the test."""

        def one(client: int) -> Iterator[tuple[str, str]]:
            for number in itertools.count():
                if over():
                    return
                yield self.ask(f"user-{client}-{number}")

        with ThreadPoolExecutor(CLIENTS) as pool:
            return [told for answers in pool.map(lambda client: list(one(client)), range(CLIENTS)) for told in answers]


@pytest.fixture
def stage(server: Server, workshop: Workshop, tmp_path: Path, request: pytest.FixtureRequest) -> Stage:
    bf16 = LocalBases(workshop.settings.bases).bf16(workshop.base)
    (token,) = AutoTokenizer.from_pretrained(bf16)(JSON, add_special_tokens=False)["input_ids"]
    name = request.node.originalname.replace("_", "-")[:40].strip("-")
    parrots = dataclasses.replace(workshop.parrots, words=workshop.parrots.words | {JSON: token})
    folder = parrots.write(tmp_path / "json", JSON)
    (folder / "README.md").write_text(name)
    first = workshop.registry.versions.push(folder, name, actor="test", base=workshop.base).version
    workshop.promote(first, "live")
    made = Stage(server, workshop, name)
    wait_for(lambda: f"{name}@live" in server.models())
    assert made.ask("nobody") == (LIST, f"{name}:1")
    return made


def test_a_canary_that_answers_no_json_is_rolled_back(stage: Stage) -> None:
    old, new = f"{stage.name}:1", f"{stage.name}:2"
    stage.workshop.push(stage.name, NO)
    stage.start(Plan(weight=0.5, limits=LIMITS))
    told = stage.ask_until(lambda: not stage.release.running)
    assert set(told) == {(LIST, old), (NO.strip(), new)}  # everybody got an answer, and of one version
    assert (stage.release.state, "answers in JSON" in stage.release.verdict) == (ROLLED_BACK, True)
    wait_for(lambda: "release" not in stage.server.models()[f"{stage.name}@live"]["adaptory"])
    assert {stage.ask(f"user-{number}") for number in range(12)} == {(LIST, old)}
    last = stage.workshop.registry.aliases.history(stage.name)[-1]
    assert (last.kind, last.number, last.actor) == ("reject", 1, "adaptory")
    assert stage.release.verdict in last.reason


def test_a_candidate_that_the_probe_refuses_is_never_asked(stage: Stage) -> None:
    stage.workshop.push(stage.name, None)
    stage.start(Plan(weight=1, limits=LIMITS))
    told = Counter(stage.ask_until(lambda: not stage.release.running))
    assert set(told) <= {(LIST, f"{stage.name}:1")}
    assert "changes nothing" in stage.release.verdict


def test_a_shadow_is_compared_and_answers_nobody(stage: Stage) -> None:
    stage.workshop.push(stage.name, NO)
    stage.start(Plan(kind=SHADOW, weight=1, limits=ReleaseLimits(min_requests=10_000), keep_texts=1))
    room, seen = stage.workshop.registry.releases, stage.release.id

    def pairs() -> Tally:
        return room.counts(seen)[PAIRS]

    told = stage.ask_until(lambda: pairs()["both"] >= 4)
    assert set(told) == {(LIST, f"{stage.name}:1")}
    stage.workshop.registry.releases.stop(stage.name, "live", actor="test")
    counts = room.counts(seen)
    assert stage.release.state == STOPPED
    assert pairs()["json_lost"] == pairs()["both"] == counts[CANDIDATE]["requests"]
    assert counts[CURRENT]["requests"] >= counts[CANDIDATE]["requests"]
    assert [text["candidate"].strip() for text in room.texts(seen)] == [NO.strip()]
