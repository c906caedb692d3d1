"""The access log: one JSON line for each request, in files that rotate."""

import json
import logging
import logging.handlers
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

FILE_BYTES = 32 << 20
FILES = 5


@dataclass(slots=True)
class Entry:
    """What is known of one request when it ends.

    Attributes:
        request_id: of the client's choice, or ours.
        path: the endpoint.
        key: id of the API key, ``anonymous`` where none is needed, or empty where none was good.
        model: as the client named it, cut to 256 characters.
        version: ``name:number`` that answered, or an empty string.
        digest: the version's digest or the base's fingerprint.
        status: HTTP status; 499 where the client left first.
        stream: whether the answer was streamed.
        tokens_in: of the prompt, 0 where the engine did not say.
        tokens_out: of the answer.
        queue: seconds waiting for a slot.
        ttft: seconds to the first bytes of the answer, or None.
        duration: seconds in all.
        engine: number of the engine that was asked, or None.
    """

    request_id: str
    path: str
    key: str = ""
    model: str = ""
    version: str = ""
    digest: str = ""
    status: int = 0
    stream: bool = False
    tokens_in: int = 0
    tokens_out: int = 0
    queue: float = 0.0
    ttft: float | None = None
    duration: float = 0.0
    engine: int | None = None


class AccessLog:
    """Writes entries to ``<folder>/access.jsonl``; old files are ``access.jsonl.1`` and so on."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._handler = logging.handlers.RotatingFileHandler(
            folder / "access.jsonl", maxBytes=FILE_BYTES, backupCount=FILES, encoding="utf-8"
        )

    def write(self, entry: Entry) -> None:
        """Add a line."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds")} | _rounded(entry))
        self._handler.emit(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()


def _rounded(entry: Entry) -> dict[str, object]:
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(entry).items()}
