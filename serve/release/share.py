"""Share: which part of all users or sessions a request belongs to, the same one each time."""

import hashlib
import random
from collections.abc import Iterable, Mapping
from typing import Any

SESSION_HEADER = b"x-adaptory-session"
USER_FIELDS = ("safety_identifier", "user", "prompt_cache_key")
"""Where OpenAI's clients say who asks, newest first."""


def session(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """What the client calls its session, or an empty string."""
    return next((value.decode("latin-1") for name, value in headers if name == SESSION_HEADER), "")


def user(document: Mapping[str, Any]) -> str:
    """Whom the request is for, or an empty string."""
    named = (document.get(field) for field in USER_FIELDS)
    return next((value for value in named if isinstance(value, str) and value), "")


def share(release: str, who: str) -> float:
    """A number from 0 to below 1: always the same for one user of one release, at random where nobody is named.

    A user whose number is below the weight gets the candidate, and keeps it while the weight grows. A key is not a
    user: a service with one key would get a canary wholly or not at all.
    """
    if not who:
        return random.random()  # noqa: S311 - nobody gains from guessing it
    digest = hashlib.sha256(f"{release}\0{who}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:6]) / 2**48
