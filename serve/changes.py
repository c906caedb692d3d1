"""Changes: what the catalogue has read from the registry and not taken over yet."""

from dataclasses import dataclass

from registry.alias import Alias
from registry.release import Release
from registry.version import AdapterVersion


@dataclass(frozen=True, slots=True)
class Changes:
    """What was read from the registry, up to the event ``seen``; releases only where one began, changed or ended."""

    versions: list[AdapterVersion]
    aliases: list[Alias]
    releases: list[Release] | None
    deprecated: dict[tuple[str, int], str]
    gone: set[tuple[str, int]]
    seen: int
