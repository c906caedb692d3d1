"""A size as people type it: ``20GiB``, ``500MB``, ``1.5 TiB``."""

import re

import click

UNITS = {"": 1, "b": 1} | {
    f"{letter}{ending}": base**power
    for power, letter in enumerate("kmgt", start=1)
    for ending, base in (("", 1024), ("ib", 1024), ("b", 1000))
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII)


def size(text: str) -> int:
    """The bytes that an option's text means; GiB and G are powers of 1024, GB is one of 1000.

    Raises:
        click.BadParameter: it means none.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    if not found or found[2] not in UNITS:
        raise click.BadParameter(f"{text!r} is not a size; 20GiB or 500MB was expected.")
    return int(float(found[1]) * UNITS[found[2]])
