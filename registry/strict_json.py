"""JSON from strangers, read with suspicion: no key twice, no NaN, no huge number, no deep nesting, no broken text.

Python's reader takes all of these, and engines take some of them differently: what two readers could read as two things
is refused.
"""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from registry.errors import InvalidAdapter

AGAIN = "It is damaged, or not what it seems: save the adapter again."

MAX_DEPTH = 64
MAX_DIGITS = 19
"""Of an integer: all that fit 64 bits. Python itself gives up on 4,300 digits, with an error of another kind."""


def read_object_file(file: Path, limit: int) -> dict[str, Any]:
    """Read a file that holds one JSON object of at most ``limit`` bytes.

    Raises:
        InvalidAdapter: it is larger, or is none.
    """
    with file.open("rb") as stream:
        raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise InvalidAdapter(f"{file.name} is larger than {limit} bytes.", AGAIN)
    return read_object(raw, file.name)


def read_object(raw: bytes, what: str) -> dict[str, Any]:
    """Read one JSON object.

    Args:
        raw: its bytes; their number is the caller's to bound.
        what: what messages call it.

    Raises:
        InvalidAdapter: it is no object, or holds what is listed at the top of this module.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        document = dict(pairs)
        if len(document) != len(pairs):
            raise InvalidAdapter(f"{what} has the same key twice in one object.", "Write it anew; engines would guess.")
        return document

    try:
        document = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=unique,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except RecursionError as error:
        raise InvalidAdapter(f"{what} is nested too deep; {MAX_DEPTH} levels are the limit.", AGAIN) from error
    except _BadNumberError as error:
        raise InvalidAdapter(f"{what} holds {error}, which is no number that engines read alike.", AGAIN) from error
    except ValueError as error:
        raise InvalidAdapter(f"{what} is not JSON.", AGAIN) from error
    if not isinstance(document, dict):
        raise InvalidAdapter(f"{what} is not a JSON object.", AGAIN)
    _prove_plain(document, what, escapes=b"\\u" in raw)
    return document


class _BadNumberError(ValueError):
    """A number that is read differently by different readers."""


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS + text.startswith("-"):
        raise _BadNumberError(f"a number of {len(text)} digits")
    if text == "-0":
        raise _BadNumberError("-0")
    return int(text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise _BadNumberError("a number beyond all bounds")
    return number


def _no_constant(constant: str) -> float:
    raise _BadNumberError(constant)


def _prove_plain(document: dict[str, Any], what: str, *, escapes: bool) -> None:
    """Prove that nesting is bounded and that every text can be written again; without recursion.

    Args:
        document: what was read.
        what: its name.
        escapes: whether any text can hold half a character: UTF-8 itself cannot.
    """
    level: list[Any] = [document]
    for _depth in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            below += item.values() if isinstance(item, dict) else item
            if escapes and isinstance(item, dict):
                _prove_texts(item, what)
        if escapes:
            _prove_texts(below, what)
        level = [item for item in below if isinstance(item, dict | list)]
        if not level:
            return
    raise InvalidAdapter(f"{what} is nested too deep; {MAX_DEPTH} levels are the limit.", AGAIN)


def _prove_texts(items: Iterable[Any], what: str) -> None:
    for item in items:
        if isinstance(item, str) and not item.isascii():
            _prove_text(item, what)


def _prove_text(text: str, what: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise InvalidAdapter(f"{what} holds half a character (a lone surrogate).", AGAIN) from error
