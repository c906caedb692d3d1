"""Seals: a digest over a row, so that ``registry verify`` finds a row that was changed behind the registry's back."""

from collections.abc import Mapping
from typing import Any

from registry.canonical import digest_document
from registry.errors import Corrupted

UNSEALED = frozenset({"seal", "id"})
"""Columns that no seal covers: itself, and numbers that the database gives."""


def seal_of(row: Mapping[str, Any]) -> str:
    """``sha256:<hex>`` over a row's columns, their names included."""
    return digest_document({column: value for column, value in row.items() if column not in UNSEALED})


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values for an insert, with their seal."""
    return {**values, "seal": seal_of(values)}


def is_whole(row: Any) -> bool:
    """Whether a row of a table with a column ``seal`` is as it was written."""
    return bool(row.seal == seal_of(row._mapping))


def prove_whole(row: Any, what: str) -> None:
    """Prove that a row is as it was written.

    Raises:
        Corrupted: it is not.
    """
    if not is_whole(row):
        raise Corrupted(f"The registry's record of {what} was changed after it was written.", "registry verify")
