"""Times as the registry stores them: ISO 8601 text in UTC with microseconds."""

from datetime import UTC, datetime


def now() -> datetime:
    """The time, UTC."""
    return datetime.now(UTC)


def to_text(time: datetime) -> str:
    """For a column; sorts as text."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


def from_text(text: str) -> datetime:
    """Inverse of ``to_text``."""
    return datetime.fromisoformat(text)
