"""Tags: short ``key=value`` labels that people give to versions, to find them again."""

import re
from collections.abc import Iterable, Mapping

from registry.errors import InvalidInput
from registry.refs import shown

MAX_TAGS = 64
"""Tags of one version."""

MAX_VALUE = 256
"""Characters."""

_KEY = re.compile(r"[a-z0-9](?:[a-z0-9._/-]{0,62}[a-z0-9])?", re.ASCII)


def valid_key(key: str) -> str:
    """Return ``key`` if it can name a tag.

    Raises:
        InvalidInput: it cannot.
    """
    if not _KEY.fullmatch(key):
        raise InvalidInput(
            f"{shown(key)} is no tag's name: 1 to 64 lower-case letters, digits, '.', '_', '/' and '-' were expected.",
            "Tags look like team=support.",
        )
    return key


def valid_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    """Return ``tags`` if each can be kept.

    Raises:
        InvalidInput: a key or a value cannot, or there are too many.
    """
    for key, value in tags.items():
        valid_key(key)
        if len(value) > MAX_VALUE or not value.isprintable():
            raise InvalidInput(f"The tag {key} takes {MAX_VALUE} printable characters at most; got {shown(value, 40)}.")
    if len(tags) > MAX_TAGS:
        raise InvalidInput(f"A version takes {MAX_TAGS} tags at most; got {len(tags)}.", "Remove some with --remove.")
    return tags


def parse_tags(pairs: Iterable[str]) -> dict[str, str]:
    """Read ``key=value`` as a person types it.

    Raises:
        InvalidInput: a pair has no ``=``, or its key or value cannot be kept.
    """
    tags: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InvalidInput(f"{shown(pair)} is no tag; key=value was expected.", "Tags look like team=support.")
        tags[key] = value
    valid_tags(tags)
    return tags
