"""The watcher: asks a server for its metrics again and again, and keeps what the last seconds brought."""

import time
from collections import deque
from types import TracebackType
from typing import Any

import httpx

from registry.errors import Unavailable
from serve.watching.scrape import Interval, Scrape
from serve.watching.top import View

WINDOW_SECONDS = 10.0
MODELS_SECONDS = 5.0
TIMEOUT_SECONDS = 5.0


class Watcher:
    """One server, seen from outside: ``/metrics`` and ``/v1/models`` only."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS)
        self._scrapes: deque[Scrape] = deque()
        self._models: list[dict[str, Any]] = []
        self._models_time = 0.0

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def look(self) -> View:
        """Ask now. Rates and percentiles are of the last WINDOW_SECONDS, or since the first look.

        Raises:
            Unavailable: the server does not answer, or not as ours does.
        """
        try:
            text = self._get("/metrics").text
            now = time.monotonic()
            if not self._models or now - self._models_time > MODELS_SECONDS:
                self._models, self._models_time = self._get("/v1/models").json()["data"], now
            self._scrapes.append(Scrape.parse(text, now))
            while len(self._scrapes) > 2 and now - self._scrapes[1].time > WINDOW_SECONDS:
                self._scrapes.popleft()
            return View.of(Interval(self._scrapes[0], self._scrapes[-1]), self._models)
        except httpx.HTTPError as error:
            raise Unavailable(str(error) or type(error).__name__) from error
        except (ValueError, KeyError, TypeError) as error:
            raise Unavailable("what answers is no adaptory serve") from error

    def _get(self, path: str) -> httpx.Response:
        answer = self._http.get(path)
        return answer.raise_for_status()
