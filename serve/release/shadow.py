"""Shadow: copies of requests for a candidate that nobody is waiting for, compared with what the client got."""

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from registry.errors import AdaptoryError, Unavailable
from registry.release import Release
from registry.tally import CANDIDATE, PAIRS, Tally
from serve.catalogue import Target
from serve.engine.client import lacks_model
from serve.errors import DeadlinePassed, EngineAway, EngineLost
from serve.release.said import Said, Transcript
from serve.turns.asker import Asker
from serve.turns.demand import Demand
from serve.watching.access_log import Entry

log = logging.getLogger(__name__)

NOBODY = Asker(key="adaptory-shadow", weight=0.01)
"""Who sends copies: behind everybody else, and on nobody's account."""

MOST_COPIES = 8
MOST_BYTES = 64 << 10
IDLE_SECONDS = 30.0
LOOK_SECONDS = 0.05
SHORTEST_LIMIT = 60.0
TIMES_AS_LONG = 5
TEXTS = 20


class Turn(Protocol):
    """What is needed of ``serve.place.Turn``."""

    @property
    def place(self) -> Any:
        """Has the engine's residency."""

    @property
    def engine(self) -> Any:
        """To be asked."""

    @property
    def name(self) -> str:
        """What it calls the adapter."""

    @property
    def lease(self) -> Any:
        """Wants to know the tokens."""


GiveTurn = Callable[[Target, Asker, Entry, Demand], AbstractAsyncContextManager[Turn]]


@dataclass(frozen=True, slots=True)
class Copy:
    """A request that the current version has answered.

    Attributes:
        release: under way.
        candidate: what is to be asked.
        path: the endpoint.
        document: the request.
        demand: what it takes of the engine.
        transcript: what the current version answered.
        seconds: that it took in the engine.
    """

    release: Release
    candidate: Target
    path: str
    document: Mapping[str, Any]
    demand: Demand
    transcript: Transcript
    seconds: float

    def body(self, name: str) -> bytes:
        """For the engine, under its name for the candidate; in one piece, and not kept there."""
        ours: dict[str, Any] = {"model": name, "stream": False}
        if self.path == "/v1/responses":
            ours["store"] = False
        left = {key: value for key, value in self.document.items() if key != "stream_options"}
        return json.dumps(left | ours).encode()


class Shadow:
    """Asks copies one after the other, when nobody waits for the engine; at most MOST_COPIES wait, others are dropped.

    A copy that finds no idle moment within IDLE_SECONDS is dropped too, and one that has no turn SHORTEST_LIMIT later.
    One that then takes TIMES_AS_LONG times the current version's time, and SHORTEST_LIMIT at least, counts as failed.

    Attributes:
        texts: pairs of answers to keep, by release.
    """

    def __init__(self, turn: GiveTurn, idle: Callable[[], bool], count: Callable[[str, str, Tally], None]) -> None:
        """``count`` takes a release's id, an arm and what was counted."""
        self.texts: dict[str, list[dict[str, str]]] = {}
        self._turn = turn
        self._idle = idle
        self._count = count
        self._copies: asyncio.Queue[Copy] = asyncio.Queue(MOST_COPIES)

    def want(self, copy: Copy) -> None:
        """Have a copy asked before long, or dropped."""
        try:
            self._copies.put_nowait(copy)
        except asyncio.QueueFull:
            self._dropped(copy)

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            copy = await self._copies.get()
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    while not self._idle():
                        await asyncio.sleep(LOOK_SECONDS)
            except TimeoutError:
                self._dropped(copy)
            else:
                await self._compare(copy)

    def _dropped(self, copy: Copy) -> None:
        self._count(copy.release.id, PAIRS, Tally({"copies": 1, "dropped": 1}))

    async def _compare(self, copy: Copy) -> None:
        tally, pair = Tally({"requests": 1}), Tally({"copies": 1})
        answer, seconds = None, 0.0
        try:
            answer, seconds = await self._ask(copy)
        except (EngineLost, aiohttp.ClientError, ConnectionError, TimeoutError) as error:
            log.info("%s did not answer a copy: %s", copy.candidate.version, error)
        except (Unavailable, RecursionError):
            self._dropped(copy)  # the engine is away or full, or the request too deep: not the candidate's doing
            return
        except AdaptoryError as error:
            log.info("%s cannot answer a copy: %s", copy.candidate.version, error.message)
        if answer is None:
            tally.count("errors")
        else:
            tally.observe("seconds", seconds)
            await self._read(copy, answer, seconds, tally, pair)
        self._count(copy.release.id, CANDIDATE, tally)
        self._count(copy.release.id, PAIRS, pair)

    async def _ask(self, copy: Copy) -> tuple[Transcript | None, float]:
        """The candidate's answer, None where the engine has none, and its seconds there."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(SHORTEST_LIMIT):
                    turn = await stack.enter_async_context(
                        self._turn(copy.candidate, NOBODY, Entry("", copy.path), copy.demand)
                    )
            except TimeoutError as error:
                raise DeadlinePassed("No turn came in time.") from error
            turn.lease.tokens = copy.demand.prompt
            async with asyncio.timeout(max(SHORTEST_LIMIT, TIMES_AS_LONG * copy.seconds)):
                return await self._forward(copy, turn)

    async def _forward(self, copy: Copy, turn: Turn) -> tuple[Transcript | None, float]:
        began = time.monotonic()
        async with turn.engine.forward(copy.path, copy.body(turn.name), uuid.uuid4().hex, {}) as response:
            answer = await response.read()
            if response.status == 404:
                if lacks_model(answer):
                    turn.place.residency.forget(copy.candidate.digest)
                raise EngineAway("The engine lost the adapter, or what the request refers to.")
            transcript = Transcript(copy.path, copy.transcript.asked)
            transcript.add(answer)
            return transcript if response.status == 200 else None, time.monotonic() - began

    async def _read(self, copy: Copy, answer: Transcript, seconds: float, tally: Tally, pair: Tally) -> None:
        """Compare the two answers, beside the event loop."""
        current, candidate = await asyncio.to_thread(lambda: (copy.transcript.read(), answer.read()))
        if candidate:
            candidate.count(tally, asked=copy.transcript.asked)
        pair.count("both")
        pair.observe("seconds_ratio", seconds / max(copy.seconds, 1e-3))
        if not (current and candidate):
            return
        compare(current, candidate, pair)
        kept = self.texts.setdefault(copy.release.id, [])
        if copy.release.plan.keep_texts and len(kept) < TEXTS:
            kept.append({"path": copy.path, "current": current.text, "candidate": candidate.text})


def compare(current: Said, candidate: Said, pair: Tally) -> None:
    """Count what became of one question."""
    pair.count("same", int(current.text == candidate.text))
    pair.count("json_lost", int(current.json and not candidate.json))
    pair.count("json_won", int(candidate.json and not current.json))
    pair.observe("length_ratio", (len(candidate.text) + 1) / (len(current.text) + 1))
    if current.logprob is not None and candidate.logprob is not None:
        pair.observe("logprob_change", candidate.logprob - current.logprob)
