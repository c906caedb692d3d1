"""Deliverer: makes the deliveries that are due, in as many processes as like."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import httpx

from registry.embedded.deliveries import Claim, Deliveries
from registry.errors import AdaptoryError
from registry.times import now
from registry.webhook import Delivery
from registry.webhooks.attempt import TIMEOUT_SECONDS, Answer, attempt
from registry.webhooks.backoff import Backoff

log = logging.getLogger(__name__)

POLL_SECONDS = 0.5
AT_ONCE = 4
"""Requests that one receiver has open."""

RECEIVERS = 8
"""Receivers that are posted to at once; the others wait their turn, so that slow ones delay them by one attempt."""

CLAIM_SECONDS = 60.0
"""On top of an attempt's timeout; then another process may try what this one had claimed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How attempts are timed; tests put their own.

    Attributes:
        backoff: between attempts.
        timeout: seconds for one attempt.
        poll: seconds between looks at the queue.
        clock: the time, UTC.
        chance: a number from 0 to 1 for the jitter.
    """

    backoff: Backoff = field(default_factory=Backoff)
    timeout: float = TIMEOUT_SECONDS
    poll: float = POLL_SECONDS
    clock: Callable[[], datetime] = now
    chance: Callable[[], float] = random.random


class Deliverer:
    """Posts what is due, each receiver by itself: one that is slow or away delays nobody else."""

    def __init__(
        self,
        deliveries: Deliveries,
        client: httpx.AsyncClient,
        pace: Pace | None = None,
        on_attempt: Callable[[Delivery, Answer], None] = lambda *_: None,
    ) -> None:
        self._deliveries = deliveries
        self._client = client
        self._pace = pace or Pace()
        self._on_attempt = on_attempt
        self._turns = asyncio.Semaphore(RECEIVERS)

    async def run(self) -> None:
        """Deliver until cancelled; a database that is away is asked again."""
        running: dict[str, asyncio.Task[None]] = {}
        away = False
        try:
            while True:
                try:
                    due = await self._due()
                    away = False
                except AdaptoryError as error:
                    if not away:
                        log.warning("Webhooks wait, the registry does not answer: %s", error)
                    away, due = True, []
                running = {id_: task for id_, task in running.items() if not task.done()}
                running |= {id_: asyncio.create_task(self._serve(id_)) for id_ in due if id_ not in running}
                await asyncio.sleep(self._pace.poll)
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    async def drain(self) -> None:
        """Make every delivery that is due now once."""
        await asyncio.gather(*(self._serve(id_) for id_ in await self._due()))

    async def _due(self) -> Sequence[str]:
        return await asyncio.to_thread(self._deliveries.due, self._pace.clock())

    async def _serve(self, webhook: str) -> None:
        """Make what is due to one receiver, a few at a time."""
        try:
            while True:
                async with self._turns:
                    claims = await asyncio.to_thread(self._claim, webhook)
                    await asyncio.gather(*(self._deliver(claim) for claim in claims))
                if not claims:
                    return
        except AdaptoryError as error:  # what was claimed is attempted again when the claim has run out
            log.warning("Deliveries to the webhook %s wait: %s", webhook, error)

    def _claim(self, webhook: str) -> Sequence[Claim]:
        at = self._pace.clock()
        until = at + timedelta(seconds=self._pace.timeout + CLAIM_SECONDS)
        return self._deliveries.claim(webhook, at=at, until=until, limit=AT_ONCE)

    async def _deliver(self, claim: Claim) -> None:
        try:
            answer = await attempt(self._client, claim, self._pace.clock(), self._pace.timeout)
        except asyncio.CancelledError:  # this server stops
            await asyncio.to_thread(self._deliveries.release, claim, self._pace.clock())
            raise
        await asyncio.to_thread(self._settle, claim, answer)
        self._on_attempt(claim.delivery, answer)

    def _settle(self, claim: Claim, answer: Answer) -> None:
        at, failures = self._pace.clock(), claim.delivery.attempts + 1
        if not answer.failure:
            self._deliveries.delivered(claim, at)
            return
        wait = None if answer.final else self._pace.backoff.wait(failures, self._pace.chance(), answer.asked)
        self._deliveries.failed(claim, answer.failure, at=at, due=at + wait if wait else None)
        fate = f"next attempt in {wait.total_seconds():.0f} s" if wait else "given up"
        log.warning("Delivery %s has failed (%s), %s", claim.delivery.id, answer.failure, fate)


@asynccontextmanager
async def posting() -> AsyncIterator[httpx.AsyncClient]:
    """A client for attempts: it follows no redirect and takes no proxy from the environment."""
    headers = {"user-agent": "adaptory-webhooks"}
    async with httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=None, headers=headers) as client:  # noqa: S113 - each attempt has one timeout over all of it
        yield client


@asynccontextmanager
async def delivering(deliveries: Deliveries, pace: Pace | None = None) -> AsyncIterator[None]:
    """Deliver in the background while inside, as a server does."""
    async with posting() as client:
        task = asyncio.create_task(Deliverer(deliveries, client, pace).run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
