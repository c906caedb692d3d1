"""The proxy: an OpenAI request in, the engine's bytes out, under the name that the client used."""

import asyncio
import contextlib
import time
from collections.abc import Coroutine, Iterator
from typing import Any

import aiohttp
from starlette.types import Receive, Scope, Send

from registry.errors import AdaptoryError
from serve.catalogue import MODEL_LENGTH, Target
from serve.engine.client import lacks_model
from serve.errors import DeadlinePassed, EngineAway, EngineLost, QueueFull
from serve.gateway.access import INFER, Access, Caller
from serve.gateway.answer import Answer, ClientStalled, StreamRefused
from serve.gateway.bodies import Bodies
from serve.gateway.openai_errors import BadRequest, OpenAIError, from_adaptory, from_engine
from serve.gateway.patience import Patience
from serve.gateway.question import CLIENT_LEFT, Question, parse, read_body, request_id, timeout
from serve.gateway.quota import Allowance
from serve.place import Turn
from serve.release.share import session
from serve.replica import Replica
from serve.turns.asker import Asker
from serve.watching.access_log import Entry


class Proxy:
    """One endpoint of the engine, as an ASGI application."""

    def __init__(self, replica: Replica, access: Access, patience: Patience, bodies: Bodies, path: str) -> None:
        self._replica = replica
        self._access = access
        self._patience = patience
        self._bodies = bodies
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        began = time.monotonic()
        entry = Entry(request_id(scope), self._path)
        trace = self._replica.tracing.begin(self._path, scope["headers"])
        answer = Answer(self._replica, entry, send, began=began, trace=trace, patience=self._patience.answer)
        try:
            await self._answer(scope, receive, answer, began)
        except ClientStalled:
            entry.status = CLIENT_LEFT
        finally:
            entry.duration = time.monotonic() - began
            self._replica.metrics.ended(answer.adapter, entry)
            trace.end(entry)
            if answer.asked:
                self._replica.desk.ended(answer.asked, entry, first=answer.first, seconds=answer.seconds)
            self._replica.access.write(entry)
            self._account(answer)

    async def _answer(self, scope: Scope, receive: Receive, answer: Answer, began: float) -> None:
        entry = answer.entry
        try:
            caller = self._access.caller(scope, INFER)
            entry.key = caller.id
            with _within(self._access.allowance(caller), answer), self._bodies.share() as share:
                seconds = timeout(scope)
                body = await read_body(scope, receive, self._patience.body, share)
                question = parse(body, share, session(scope["headers"]))
                del body  # not held while the request waits
                entry.model = question.model[:MODEL_LENGTH].encode(errors="replace").decode()
                entry.stream = question.stream
                asker = Asker(caller.id, caller.weight, began + seconds if seconds else None)
                if not await _unless_client_leaves(receive, self._respond(question, caller, asker, answer)):
                    entry.status = CLIENT_LEFT
        except BadRequest as error:
            await answer.fail(error.error)
        except AdaptoryError as error:
            await answer.fail(from_adaptory(error))

    async def _respond(self, question: Question, caller: Caller, asker: Asker, answer: Answer) -> None:
        paths = self._replica.fleet.paths
        if paths and self._path not in paths:
            await answer.fail(OpenAIError(404, f"This engine has no {self._path}.", code="not_found"))
            return
        try:
            await self._take_turn(question, caller, asker, answer)
        except BadRequest as error:
            await answer.fail(error.error)
        except AdaptoryError as error:
            await answer.fail(from_adaptory(error))

    async def _take_turn(self, question: Question, caller: Caller, asker: Asker, answer: Answer) -> None:
        with caller.naming(question.model):
            target = await self._replica.catalogue.resolve(question.model)
        desk = self._replica.desk
        route = desk.route(question.model, target, question.who)
        answer.asked = desk.asks(route, self._path, question.document, question.size, question.demand)
        try:
            await self._have_turn(route.target, question, asker, answer)
        except (QueueFull, DeadlinePassed, EngineLost):
            raise
        except AdaptoryError:
            if answer.asked is None or route.spare is None or answer.entry.status:
                raise
            answer.asked = desk.fell_back(answer.asked)  # a candidate's failure is not its client's
            await self._have_turn(route.spare, question, asker, answer)

    async def _have_turn(self, target: Target, question: Question, asker: Asker, answer: Answer) -> None:
        answer.bind(target)
        async with self._replica.turn(target, asker, answer.entry, question.demand) as turn:
            answer.queued(question.demand.prompt)
            try:
                await self._ask(turn, question, answer)
            finally:
                if answer.entry.status:  # else nothing was counted: the lease knows what to charge
                    turn.lease.tokens = answer.entry.tokens_in + answer.entry.tokens_out

    async def _ask(self, turn: Turn, question: Question, answer: Answer) -> None:
        body = question.for_engine(self._path, turn.name)
        answer.forwarded()
        try:
            async with turn.engine.forward(self._path, body, answer.entry.request_id, answer.trace.headers) as response:
                kind = response.headers.get("content-type", "")
                if response.status >= 400:
                    await self._refused(turn, question, answer, response.status, await response.read())
                elif kind.startswith("text/event-stream"):
                    hidden = question.hides_usage(self._path)
                    await answer.stream(response, turn.name, question.model, hide_usage=hidden)
                else:
                    await answer.whole(await response.read(), kind, turn.name, question.model)
        except StreamRefused as error:
            await self._refused(turn, question, answer, error.status, error.body)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise EngineLost("The engine went away while it answered.", "Try again in a few seconds.") from error

    async def _refused(self, turn: Turn, question: Question, answer: Answer, status: int, body: bytes) -> None:
        """Pass on what the engine says in place of an answer.

        Raises:
            EngineLost: it has failed.
            EngineAway: it has lost the adapter, or somebody else may answer in the candidate's stead.
        """
        entry = answer.entry
        if status == 404 and entry.version and lacks_model(body):
            turn.place.residency.forget(entry.digest)
            raise EngineAway("The engine lost this adapter.", "Try again.")
        if status >= 500 and not await turn.engine.healthy():
            raise EngineLost("The engine has failed and is restarted.", "Try again in a few seconds.")
        if status >= 500 and answer.asked and answer.asked.route.spare:
            raise EngineAway("The engine gives no answer with the candidate.")
        await answer.fail(from_engine(status, body, turn.name, question.model))

    def _account(self, answer: Answer) -> None:
        """Count what was answered, and what was broken off while it computed."""
        entry, target = answer.entry, answer.target
        if target and (entry.status == 200 or entry.tokens_in):
            version = target.version
            name, number = (version.name, version.number) if version else (answer.adapter, 0)
            self._access.accounting.count(entry.key, name, number, entry.tokens_in, entry.tokens_out)


@contextlib.contextmanager
def _within(allowance: Allowance, answer: Answer) -> Iterator[None]:
    """Hold one of the caller's places, and say in the answer what is left.

    Raises:
        RateLimited: there is none.
    """
    try:
        allowance.enter()
    finally:
        answer.headers.update(allowance.headers())
    try:
        yield
    finally:
        allowance.leave(answer.entry.tokens_in + answer.entry.tokens_out)


async def _unless_client_leaves(receive: Receive, work: Coroutine[Any, Any, None]) -> bool:
    """Do the work, but cancel it, and with it the engine's, when the client goes. Returns whether it was done."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if task.cancelled():
            return False
        task.result()
        return True
    finally:
        gone.cancel()
        task.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
