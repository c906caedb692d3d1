"""Plan: what a load generator asks, and Done: what came of each request. Both travel between processes as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One streamed request.

    Attributes:
        target: whom to ask, a key of the plan's ``targets``.
        model: the model's name there.
        prompt: the user's message, or the text to go on from.
        tokens: of the answer; it is exactly this long.
        at: seconds after the start (open loop).
        key: API key, or nothing.
    """

    target: str
    model: str
    prompt: str
    tokens: int
    at: float = 0.0
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is asked, and how.

    Attributes:
        targets: name -> origin, ``http://host:port`` or ``unix:/path``.
        asks: the requests.
        workers: closed loop: worker w asks number w, w + workers, ..., each after the other. 0 is an open loop: every
            request at its time, whatever became of the others.
        repeat: the workers begin anew after the last request, until they are stopped.
        timeout: seconds after which a request is given up.
        keep_text: whether ``Done`` says what was answered.
        chat: as a conversation; else as a plain completion, without a chat template's tokens before the prompt.
    """

    targets: Mapping[str, str]
    asks: tuple[Ask, ...]
    workers: int = 0
    repeat: bool = False
    timeout: float = 150.0
    keep_text: bool = False
    chat: bool = True

    @classmethod
    def from_json(cls, line: str | bytes) -> "Plan":
        """Inverse of ``to_json``."""
        document = json.loads(line)
        return cls(**document | {"asks": tuple(Ask(**ask) for ask in document["asks"])})

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A request that has ended. Times are seconds of the machine's monotonic clock, the same in every process.

    Attributes:
        number: which of the plan's requests it was.
        target: whom it went to.
        model: what it asked for.
        key: who asked.
        start: when it was sent.
        first: when the first text came, or None.
        end: when the last byte came.
        tokens: of the answer.
        status: of HTTP; 0 where the connection failed or the time was over.
        error: what went wrong, or nothing.
        text: the answer, where the plan keeps it.
    """

    number: int
    target: str
    model: str
    key: str
    start: float
    first: float | None
    end: float
    tokens: int
    status: int
    error: str = ""
    text: str = ""

    @property
    def ok(self) -> bool:
        """Whether it was answered to the end."""
        return self.status == 200 and not self.error

    @classmethod
    def from_json(cls, line: str | bytes) -> "Done":
        """Inverse of ``to_json``."""
        return cls(**json.loads(line))

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))
