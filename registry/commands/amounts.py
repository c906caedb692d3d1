"""Amounts as people type them: ``10%``, ``30m``."""

import re
from typing import Any

import click

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_DURATION = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)([smhd])", re.ASCII)
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,4})?)(%?)", re.ASCII)


class Duration(click.ParamType[float]):
    """``90s``, ``30m``, ``2h`` or ``1d``, as seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        if isinstance(value, float):
            return value
        found = _DURATION.fullmatch(value)
        if not found or not float(found[1]):
            self.fail(f"{value!r} is no time; write 90s, 30m, 2h or 1d.", param, ctx)
        return float(found[1]) * SECONDS[found[2]]


class Share(click.ParamType[float]):
    """``10%`` or ``0.1``, as a number from 0 to 1."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read it."""
        if isinstance(value, float):
            return value
        found = _SHARE.fullmatch(value)
        share = float(found[1]) / (100 if found[2] else 1) if found else -1.0
        if not 0 <= share <= 1:
            self.fail(f"{value!r} is no share; write 10% or 0.1.", param, ctx)
        return share


def shown_share(share: float) -> str:
    """A share as people read it."""
    return f"{share * 100:.4g}%"
