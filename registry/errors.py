"""Every error that Adaptory raises on purpose.

AdaptoryError                    a message (what, what was expected) and a hint (what to type next)
├── InvalidInput                 the user's mistake: exit code 2, HTTP 400
│   ├── InvalidReference         a name, alias or version that cannot be parsed
│   ├── InvalidAdapter           admission: a folder that is no adapter, or none for this base
│   └── MissingPackage           an optional package is not installed
├── NotFound                     nothing has this name: exit code 2, HTTP 404
├── Conflict                     somebody else was first, or the name is taken: exit code 1, HTTP 409
├── Refused                      a policy says no, such as a failed gate: exit code 1, HTTP 403
├── Corrupted                    stored bytes do not have the digest they should have: exit code 1, HTTP 500
└── Unavailable                  a server or a disk is away; trying again may help: exit code 1, HTTP 503

The other packages derive their own from these (``trainer.errors``, ``serve.errors``, ...).
"""


class AdaptoryError(Exception):
    """An error with one line for the person who caused it.

    Attributes:
        message: what happened and what was expected, one line.
        hint: what to type or do next, or an empty string.
        exit_code: of the command that meets it.
        http_status: of a response that reports it.
    """

    exit_code = 1
    http_status = 500

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInput(AdaptoryError):
    """The user's mistake."""

    exit_code = 2
    http_status = 400


class InvalidReference(InvalidInput):
    """A name, alias or version that cannot be parsed."""


class InvalidAdapter(InvalidInput):
    """A folder that is no adapter, or none for the base it names."""


class MissingPackage(InvalidInput):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"This needs the package {package}, which is not installed.", f"pip install 'adaptory[{extra}]'"
        )


class NotFound(AdaptoryError):
    """Nothing has this name."""

    exit_code = 2
    http_status = 404


class Conflict(AdaptoryError):
    """Somebody else was first, or the name is taken."""

    http_status = 409


class Refused(AdaptoryError):
    """A policy says no."""

    http_status = 403


class Corrupted(AdaptoryError):
    """Stored bytes do not have the digest they should have."""


class Unavailable(AdaptoryError):
    """A server or a disk is away; trying again may help."""

    http_status = 503
