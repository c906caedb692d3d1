"""A thread of its own for what may block for very long, so that nothing else waits for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def in_own_thread(call: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """``asyncio.to_thread`` without the loop's pool, whose few threads everything shares.

    Neither the loop's end nor the process's waits for the thread; those of a ``ThreadPoolExecutor`` are joined at the
    exit of the process, also after ``shutdown(wait=False)``.
    """
    future: Future[T] = Future()

    def run() -> None:
        future.set_running_or_notify_cancel()
        try:
            future.set_result(call(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is awaited
            future.set_exception(error)

    Thread(target=run, name="own", daemon=True).start()
    return await asyncio.wrap_future(future)
