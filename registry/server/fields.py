"""What may stand in a request: each kind of text and number, bounded to what the tables hold."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from registry.errors import InvalidInput
from registry.files import safe_path
from registry.refs import AdapterRef, shown, valid_alias, valid_name

MAX_SIZE = 1 << 40
"""Bytes of a file. An adapter has some 10⁸, merged weights of the largest models 10¹²."""


def _short_path(path: str) -> str:
    if len(path.encode()) > 255:  # bytes, which is what file systems count
        raise InvalidInput("A file's path takes more than 255 bytes.")
    return str(safe_path(path))


def _printable(line: str) -> str:
    if not line.isprintable():
        raise InvalidInput("A note or a reason is one line of printable text.")
    return line


Name = Annotated[str, AfterValidator(valid_name)]
AliasName = Annotated[str, AfterValidator(valid_alias)]
Ref = Annotated[str, AfterValidator(lambda text: str(AdapterRef.parse(text)))]
FilePath = Annotated[str, Field(max_length=255), AfterValidator(_short_path)]
FullDigest = Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
Digest = Annotated[str, Field(pattern="^sha256:[0-9a-z]{1,64}$")]
Line = Annotated[str, Field(max_length=4096), AfterValidator(_printable)]
Token = Annotated[str, Field(pattern="^[A-Za-z0-9._-]{1,32}$")]
"""A short name of a form, a quantisation or a replica."""

Batch = Annotated[str, Field(pattern="^[A-Za-z0-9._-]{0,32}$")]
"""Id of sums that are added once, however often they are sent; empty for those that are added each time."""

_DIGEST = re.compile("sha256:[0-9a-z]{1,64}", re.ASCII)


def proved_digest(text: str) -> str:
    """Return ``text`` if it looks like a digest.

    Raises:
        InvalidInput: it does not.
    """
    if not _DIGEST.fullmatch(text):
        raise InvalidInput(f"{shown(text)} is no digest: sha256:<hex> was expected.")
    return text
