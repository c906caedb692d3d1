"""Read a recipe file: TOML in, a checked ``Recipe`` out, every problem in a line of its own."""

import difflib
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from registry.refs import shown
from trainer.errors import RecipeError
from trainer.recipe import UNSERVABLE, Recipe

Document = dict[str, Any]


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        path: the TOML file.
        changes: ``key=value`` or ``table.key=value``, as given with ``--set``.

    Raises:
        RecipeError: all problems at once, a line each.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError(f"There is no recipe at {path}.", "adaptory train RECIPE.toml") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RecipeError(f"{path} is no TOML file: {error}") from None
    for change in changes:
        _apply(document, change)
    try:
        return Recipe.model_validate(document)
    except ValidationError as error:
        raise RecipeError("\n".join(f"{path.name}: {line}" for line in _problems(error))) from None


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write the resolved recipe, defaults and all; what has no value is left out."""
    tables = recipe.model_dump(exclude_none=True)
    lines = [f"{key} = {_toml(value)}" for key, value in tables.items() if not isinstance(value, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines += ["", f"[{name}]", *(f"{key} = {_toml(value)}" for key, value in table.items())]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _apply(document: Document, change: str) -> None:
    key, equals, text = change.partition("=")
    *tables, last = key.strip().split(".")
    if not equals or not last:
        raise RecipeError(f"--set {shown(change)} sets nothing.", "Write --set lora.rank=8.")
    for name in tables:
        document = document.setdefault(name, {})
        if not isinstance(document, dict):
            raise RecipeError(f"--set {shown(change)}: {name} is no table.", "Write --set lora.rank=8.")
    try:
        document[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        document[last] = text  # a bare word is a string, so that nobody has to quote quotes for the shell


def _problems(error: ValidationError) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        place = [str(part) for part in problem["loc"] if part in _all_keys() or problem["type"] == "extra_forbidden"]
        key = ".".join(place)
        match problem["type"]:
            case "extra_forbidden":
                yield _unknown(place)
            case "missing":
                yield f"{key} is missing."
            case _:
                reason = problem["msg"].removeprefix("Value error, ")
                yield f"{key} = {shown(str(problem['input']))}: {reason[:1].lower()}{reason[1:]}."


def _unknown(place: list[str]) -> str:
    *tables, key = place
    written = ".".join(place)
    if key in UNSERVABLE:
        return f"{written} is not supported: {UNSERVABLE[key]}."
    known = _keys()
    here = ".".join([*tables, ""])
    by_last = {name.rpartition(".")[2]: name for name in known} | {
        name.removeprefix(here): name for name in known if name.startswith(here)
    }
    near = difflib.get_close_matches(key, list(by_last), n=1, cutoff=0.5)
    meant = f" Did you mean {by_last[near[0]]}?" if near else f" Known keys: {', '.join(known)}."
    return f"there is no key {shown(written)}.{meant}"


def _keys() -> list[str]:
    """Every key of a recipe, dotted."""
    return [
        key
        for name, field in Recipe.model_fields.items()
        for key in (
            [f"{name}.{inner}" for inner in field.annotation.model_fields]
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
            else [name]
        )
    ]


def _all_keys() -> set[str]:
    return {part for key in _keys() for part in key.split(".")}


def _toml(value: Any) -> str:
    import json

    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    # A JSON string is a TOML basic string, as long as nothing beyond the BMP is escaped.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
