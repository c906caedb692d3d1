"""Traffic: one client that keeps asking the bare name, and remembers which version answered what."""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import openai


@dataclass
class Answers:
    """What the client saw.

    Attributes:
        by_version: version (``address:1``) -> how many requests it answered.
        texts: (prompt, version) -> the answer.
        failures: error messages of requests that failed.
    """

    by_version: Counter[str] = field(default_factory=Counter)
    texts: dict[tuple[str, str], str] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def changed(self, before: str, after: str) -> tuple[int, int]:
        """How many prompts two versions answered differently, out of how many that both answered."""
        both = {prompt for prompt, version in self.texts if version == before} & {
            prompt for prompt, version in self.texts if version == after
        }
        different = sum(self.texts[prompt, before] != self.texts[prompt, after] for prompt in both)
        return different, len(both)


class Traffic:
    """Asks the conversations in turn, without a pause, while it is entered; it never tries a request twice."""

    def __init__(self, url: str, model: str, conversations: Sequence[Any]) -> None:
        self.answers = Answers()
        self._client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        self._model = model
        self._conversations = conversations
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> "Traffic":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def wait_for(self, version: str, requests: int) -> None:
        """Wait until ``version`` has answered that many requests."""
        while self.answers.by_version[version] < requests and not self.answers.failures:
            self._stop.wait(0.2)

    def _ask(self) -> None:
        while not self._stop.is_set():
            for conversation in self._conversations:
                if self._stop.is_set():
                    return
                self._ask_once(conversation)

    def _ask_once(self, conversation: Any) -> None:
        try:
            raw = self._client.chat.completions.with_raw_response.create(
                model=self._model,
                messages=conversation,
                temperature=0,
                max_tokens=128,
            )
        except openai.OpenAIError as error:
            self.answers.failures.append(str(error))
            return
        version = raw.headers["x-adaptory-version"]
        text = raw.parse().choices[0].message.content or ""
        self.answers.by_version[version] += 1
        self.answers.texts[conversation[-1]["content"], version] = text
