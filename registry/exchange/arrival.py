"""Arrival: an adapter that came from elsewhere and waits, in a folder of its own, to be pushed."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.base_model import BaseModel
from registry.bases import LocalBases
from registry.errors import InvalidAdapter
from registry.refs import shown
from registry.run_folder import RECORD, read_record


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """What was fetched, and what it says of itself.

    Attributes:
        folder: holds the files that a push takes, and no links.
        source: where it came from, as versions remember it.
        revision: the commit there, or ``""``.
        base_models: what it says it was trained on: Hub ids, the card's before the configuration's.
        license: as its card says, or ``""``.
        datasets: as its card says.
    """

    folder: Path
    source: str
    revision: str = ""
    base_models: tuple[str, ...] = ()
    license: str = ""
    datasets: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Source and revision, on one line."""
        return f"{self.source}@{self.revision}" if self.revision else self.source

    def base(self, bases: LocalBases, name: str | None) -> BaseModel | None:
        """The prepared base that it was trained on.

        Args:
            bases: those of this machine.
            name: of the one that the person named, or None.

        Returns:
            None where a record names a base that perhaps the registry knows.

        Raises:
            NotFound: the base that was named is not prepared.
            InvalidAdapter: it names none that is prepared here, or several fit.
        """
        if name is not None:
            return bases.get(name)
        prepared = bases.list()
        if fingerprint := read_record(self.folder).base_fingerprint:
            return next((base for base in prepared if base.fingerprint == fingerprint), None)
        wanted = {model.lower() for model in self.base_models}
        fitting = [base for base in prepared if base.source.lower() in wanted]
        if len(fitting) == 1:
            return fitting[0]
        raise _no_base(self.base_models, fitting)

    def write_record(self, base: BaseModel) -> None:
        """Say where it came from, unless a record of its training came with it."""
        file = self.folder / RECORD
        if file.is_file():
            return
        code = {"imported_from": self.source, "revision": self.revision, "license": self.license}
        code["base_model"] = ", ".join(self.base_models)
        document: dict[str, Any] = {
            "schema": 1,
            "base": {"name": base.name, "fingerprint": base.fingerprint},
            "recipe": {},
            "data": {"datasets": list(self.datasets)} if self.datasets else {},
            "metrics": {},
            "code": {key: value for key, value in code.items() if value},
        }
        file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _no_base(base_models: Sequence[str], fitting: Sequence[BaseModel]) -> InvalidAdapter:
    if fitting:
        names = ", ".join(base.name for base in fitting)
        return InvalidAdapter(f"It fits several prepared bases: {names}.", "Name one with --base NAME.")
    if not base_models:
        return InvalidAdapter("It does not say which base it was trained on.", "Name it with --base NAME.")
    model = shown(base_models[0], 200)[1:-1]
    return InvalidAdapter(
        f"It was trained on {model}, which is not prepared here.",
        f"adaptory base prepare {model} --name NAME, or name another base with --base NAME.",
    )
