"""Search: versions by text, tag, base, metric, alias and mark, through any door of a registry."""

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.deprecation import Deprecation
from registry.errors import InvalidInput
from registry.refs import shown
from registry.store import Registry
from registry.version import AdapterVersion

_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"\s*([A-Za-z0-9_./@-]{1,128}?)\s*(>=|<=|!=|=|>|<)\s*([-+0-9.eE]{1,32})\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Condition:
    """A bound on a metric: one of the newest reports' scores, or else of what the trainer measured.

    Attributes:
        metric: its name.
        sign: ``>=``, ``<=``, ``>``, ``<``, ``=`` or ``!=``.
        bound: the number.
    """

    metric: str
    sign: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> "Condition":
        """Read a condition as a person types it: ``field_f1>=0.8``.

        Raises:
            InvalidInput: it is none.
        """
        match = _CONDITION.fullmatch(text)
        try:
            if match:
                return cls(match[1], match[2], float(match[3]))
        except ValueError:
            pass
        raise InvalidInput(f"{shown(text)} is no condition on a metric.", "Conditions look like 'field_f1>=0.8'.")

    def holds(self, metrics: Mapping[str, float]) -> bool:
        """Whether the metric was measured and keeps the bound."""
        value = metrics.get(self.metric)
        return value is not None and _COMPARE[self.sign](value, self.bound)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a version must have; an empty query fits every version.

    Attributes:
        text: every word of it is in the name, the note, a tag or the base's name; case does not count.
        tags: tags with exactly these values.
        base: the base's name.
        conditions: bounds on metrics.
        alias: an alias names the version: this one, or any where it is ``""``; None asks for nothing.
        deprecated: whether it is deprecated; None asks for nothing.
    """

    text: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None
    conditions: Sequence[Condition] = ()
    alias: str | None = None
    deprecated: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A version that fits a query.

    Attributes:
        version: the version.
        aliases: aliases that name it.
        tags: its tags.
        deprecation: the mark, if it has one.
        metrics: what was measured: scores of its newest reports before the trainer's own; only where the query asked.
    """

    version: AdapterVersion
    aliases: Sequence[str]
    tags: Mapping[str, str]
    deprecation: Deprecation | None
    metrics: Mapping[str, float]

    def to_json(self) -> dict[str, Any]:
        """What ``--json`` prints."""
        deprecated = self.deprecation.to_json() if self.deprecation else None
        return self.version.to_json() | {
            "aliases": list(self.aliases),
            "tags": dict(self.tags),
            "deprecated": deprecated,
            "metrics": dict(self.metrics),
        }


def search(registry: Registry, query: Query) -> Iterator[Found]:
    """Every version that fits, by name and number. Reports are read only for versions that fit otherwise."""
    aliases: dict[tuple[str, int], list[str]] = {}
    for alias in registry.aliases.list():
        aliases.setdefault((alias.name, alias.number), []).append(alias.alias)
    tags = registry.marks.tags()
    deprecations = {(mark.name, mark.number): mark for mark in registry.marks.deprecations()}
    for version in registry.versions.list():
        key = version.name, version.number
        named, tagged, mark = aliases.get(key, []), tags.get(key, {}), deprecations.get(key)
        if not _fits(query, version, named, tagged, mark):
            continue
        metrics = measured(registry, version) if query.conditions else {}
        if all(condition.holds(metrics) for condition in query.conditions):
            yield Found(version=version, aliases=named, tags=tagged, deprecation=mark, metrics=metrics)


def measured(registry: Registry, version: AdapterVersion) -> dict[str, float]:
    """Metric -> value: of the newest report that has it, or else as the trainer measured it."""
    numbers = {
        name: float(value)
        for name, value in version.manifest.metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    for report in registry.reports.list(version.digest):  # oldest first
        numbers |= {metric: score.mean for metric, score in report.adapter.items()}
    return numbers


def _fits(
    query: Query, version: AdapterVersion, aliases: Sequence[str], tags: Mapping[str, str], mark: Deprecation | None
) -> bool:
    told = (version.name, version.note, version.manifest.base_name, *(f"{key}={value}" for key, value in tags.items()))
    text = "\n".join(told).casefold()
    return (
        all(word in text for word in query.text.casefold().split())
        and all(tags.get(key) == value for key, value in query.tags.items())
        and query.base in {None, version.manifest.base_name}
        and (query.alias is None or (query.alias in aliases if query.alias else bool(aliases)))
        and query.deprecated in {None, mark is not None}
    )
