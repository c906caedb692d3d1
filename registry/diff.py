"""Diff: in what two versions differ, beside their weights."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from registry.manifest import Manifest

PARTS = ("base", "lora", "recipe", "data", "metrics", "code")


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that two versions do not share.

    Attributes:
        part: ``base``, ``lora``, ``recipe``, ``data``, ``metrics``, ``code`` or ``files``.
        key: where in it, with dots; for files, the path.
        first: the first's value, None where it has none; for files, the digest.
        second: the second's.
    """

    part: str
    key: str
    first: Any
    second: Any

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        return asdict(self)


def differences(first: Manifest, second: Manifest) -> Iterator[Difference]:
    """Every difference of two manifests, by part and key."""
    documents = first.to_json(), second.to_json()
    for part in PARTS:
        sides = [dict(_flat(document[part])) for document in documents]
        yield from _compare(part, *sides)
    yield from _compare("files", *({entry.path: entry.digest for entry in one.files} for one in (first, second)))


def _compare(part: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Difference]:
    for key in sorted(first.keys() | second.keys()):
        if first.get(key) != second.get(key):
            yield Difference(part, key, first.get(key), second.get(key))


def _flat(value: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested objects, by their keys with dots between; lists are leaves."""
    if isinstance(value, Mapping) and (value or not before):
        for key, inner in value.items():
            yield from _flat(inner, f"{before}.{key}" if before else str(key))
    else:
        yield before, value
