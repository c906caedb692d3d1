"""Suite: what is asked, how answers are graded, and what the gate demands. Written in TOML."""

import json
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evals.errors import InvalidSuite
from evals.items import Item, read_items
from registry.canonical import digest_document

Metric = Literal["schema_valid", "exact_match", "field_f1"]
Share = Annotated[float, Field(ge=0, le=1)]


class Condition(BaseModel):
    """What a metric has to reach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: Share | None = None
    """At least this."""
    gain: Annotated[float, Field(ge=-1, le=1)] | None = None
    """At least this much above the base alone."""


class Definition(BaseModel):
    """The suite file, as written."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str
    """What people call it."""
    data: str
    """Chat JSONL, relative to the suite file; the last message of a line is the expected answer."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """How many lines to ask, from the top; all by default."""
    schema_file: str | None = Field(default=None, alias="schema")
    """JSON Schema of an answer, relative to the suite file; needed for schema_valid."""
    max_tokens: Annotated[int, Field(ge=1)] = 256
    """Longest answer."""
    metrics: tuple[Metric, ...] = ("exact_match",)
    """What to measure."""
    gate: dict[Metric, Condition] = Field(default_factory=dict)
    """What a version must reach to pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A suite with its items and schema in hand.

    Attributes:
        definition: the suite file.
        items: what is asked.
        schema: JSON Schema of an answer, or None.
    """

    definition: Definition
    items: tuple[Item, ...]
    schema: dict[str, Any] | None

    @property
    def digest(self) -> str:
        """``sha256:<hex>`` of what is asked and demanded; where the files lie does not count."""
        asked = [{"messages": list(item.messages), "expected": item.expected} for item in self.items]
        definition = self.definition.model_dump(exclude={"data", "limit", "schema_file"})
        return digest_document({"definition": definition, "schema": self.schema, "items": asked})


def read_suite(file: Path) -> Suite:
    """Read a suite and all that it names.

    Raises:
        InvalidSuite: something is missing or wrong; one line says what.
    """
    if not file.is_file():
        raise InvalidSuite(f"There is no suite {file}.", "Give the path of a suite's TOML file with --suite.")
    try:
        definition = Definition.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSuite(f"{file} is not TOML: {error}.") from error
    except ValidationError as error:
        raise InvalidSuite(f"{file}: {'; '.join(_problem(dict(problem)) for problem in error.errors())}.") from error
    if "schema_valid" in definition.metrics and definition.schema_file is None:
        raise InvalidSuite(f"{file}: schema_valid needs the key schema.")
    for metric in definition.gate:
        if metric not in definition.metrics:
            raise InvalidSuite(f"{file}: the gate names {metric}, which metrics does not measure.")
    schema = _read_schema(file.parent / definition.schema_file) if definition.schema_file else None
    items = read_items(file.parent / definition.data, definition.limit)
    return Suite(definition=definition, items=items, schema=schema)


def _problem(problem: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"{place}: {problem['msg']}"
    known = ["schema" if name == "schema_file" else name for name in Definition.model_fields]
    nearest = get_close_matches(place, known, n=1)
    return f"unknown key {place}" + (f", did you mean {nearest[0]}?" if nearest else "")


def _read_schema(file: Path) -> dict[str, Any]:
    try:
        schema: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidSuite(f"The schema {file} cannot be read: {error}.") from error
    return schema
