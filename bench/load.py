"""The load generator: asks what a plan says, and reports each request when it has ended.

It runs in a process of its own (``bench.loader``), so that it shares no interpreter lock with what is measured, and
looks at a stream's bytes only as far as it must: for the first text, and for the count of tokens at the end.
"""

import asyncio
import contextlib
import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator

import aiohttp

from bench.plan import Ask, Done, Plan

CHAT = "/v1/chat/completions"
PLAIN = "/v1/completions"
UNIX = "unix:"
_TEXT = re.compile(rb'"(?:content|text)": ?"[^"]')
_TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')
_ERROR = re.compile(rb'^data: \{"error": ?(.{0,300})', re.MULTILINE)
_END = b"data: [DONE]"


class Load:
    """One plan under way."""

    def __init__(self, plan: Plan, report: Callable[[Done], None]) -> None:
        self.stop = asyncio.Event()
        self._plan = plan
        self._report = report
        self._sessions: dict[str, aiohttp.ClientSession] = {}

    async def run(self) -> None:
        """Ask everything; after ``stop`` is set nothing new is asked, and what runs ends."""
        async with contextlib.AsyncExitStack() as stack:
            for name, origin in self._plan.targets.items():
                self._sessions[name] = await stack.enter_async_context(session(origin))
            await (self._closed() if self._plan.workers else self._open())

    async def _closed(self) -> None:
        async with asyncio.TaskGroup() as group:
            for worker in range(self._plan.workers):
                group.create_task(self._work(worker))

    async def _work(self, worker: int) -> None:
        for number in self._numbers(worker):
            if self.stop.is_set():
                return
            await self._ask(number % len(self._plan.asks))

    def _numbers(self, worker: int) -> Iterator[int]:
        if self._plan.repeat:
            return itertools.count(worker, self._plan.workers)
        return iter(range(worker, len(self._plan.asks), self._plan.workers))

    async def _open(self) -> None:
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, ask in enumerate(self._plan.asks):
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), max(0.0, began + ask.at - time.monotonic()))
                    return
                group.create_task(self._ask(number))

    async def _ask(self, number: int) -> None:
        ask, chat = self._plan.asks[number], self._plan.chat
        path = CHAT if chat else PLAIN
        start, first, status, error = time.monotonic(), None, 0, ""
        pieces: list[bytes] = []
        try:
            async with (
                asyncio.timeout(self._plan.timeout),
                self._sessions[ask.target].post(path, data=_body(ask, chat), headers=_headers(ask)) as response,
            ):
                status = response.status
                async for piece in response.content.iter_any():
                    if first is None and _TEXT.search(piece):
                        first = time.monotonic()
                    pieces.append(piece)
        except (TimeoutError, aiohttp.ClientError, OSError) as broken:
            status, error = 0, type(broken).__name__
        end, answer = time.monotonic(), b"".join(pieces)
        self._report(
            Done(
                number=number,
                target=ask.target,
                model=ask.model,
                key=ask.key,
                start=start,
                first=first,
                end=end,
                tokens=_tokens(answer),
                status=status,
                error=error or _fault(status, answer),
                text=text_of(answer) if self._plan.keep_text and status == 200 else "",
            )
        )


def session(origin: str) -> aiohttp.ClientSession:
    """A client for an origin, ``http://host:port`` or ``unix:/path``, with as many connections as are asked for."""
    if origin.startswith(UNIX):
        connector: aiohttp.BaseConnector = aiohttp.UnixConnector(path=origin.removeprefix(UNIX), limit=0)
        origin = "http://engine"
    else:
        connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    return aiohttp.ClientSession(origin, connector=connector, timeout=timeout)


def text_of(answer: bytes) -> str:
    """The text of a stream's events."""
    events = (json.loads(line[6:]) for line in answer.splitlines() if line.startswith(b"data: {"))
    choices = (choice for event in events for choice in event.get("choices", ()))
    return "".join(choice["delta"].get("content") or "" if "delta" in choice else choice["text"] for choice in choices)


def _body(ask: Ask, chat: bool) -> bytes:
    # A system message that says little takes the place of the template's own, which would cost more than the question.
    messages = [{"role": "system", "content": "Hi"}, {"role": "user", "content": ask.prompt}]
    question: dict[str, object] = {"messages": messages} if chat else {"prompt": ask.prompt}
    question |= {
        "model": ask.model,
        "max_tokens": ask.tokens,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    return json.dumps(question).encode()


def _headers(ask: Ask) -> dict[str, str]:
    return {"content-type": "application/json"} | ({"authorization": f"Bearer {ask.key}"} if ask.key else {})


def _tokens(answer: bytes) -> int:
    found = _TOKENS.findall(answer)
    return int(found[-1]) if found else len(_TEXT.findall(answer))


def _fault(status: int, answer: bytes) -> str:
    """What is wrong with an answer that came, or nothing."""
    if status != 200:
        return answer[:300].decode("utf-8", "replace")
    if found := _ERROR.search(answer):
        return found[1].decode("utf-8", "replace")
    return "" if _END in answer else "The stream was cut."


async def main() -> None:
    """Take a plan from the first line of stdin and write a line for each request; the end of stdin stops it."""
    plan = Plan.from_json(sys.stdin.buffer.readline())

    def report(done: Done) -> None:
        sys.stdout.write(done.to_json() + "\n")
        sys.stdout.flush()

    load = Load(plan, report)
    loop = asyncio.get_running_loop()

    def stdin_speaks() -> None:
        if not os.read(sys.stdin.fileno(), 1 << 12):
            loop.remove_reader(sys.stdin.fileno())
            load.stop.set()

    loop.add_reader(sys.stdin.fileno(), stdin_speaks)
    await load.run()


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
