"""Errors of the trainer.

InvalidInput (registry)
├── RecipeError      a recipe that cannot be read, or that asks for what cannot be trained or served
├── DataError        a data file that cannot be read: file, line, reason
├── SourceError      a base model's source that cannot be used
└── RunExists        the run folder is taken, or holds an unfinished run
Refused (registry)
└── UselessRun       training went wrong in a way that makes its result worthless
"""

from registry.errors import InvalidInput, Refused


class RecipeError(InvalidInput):
    """A recipe that cannot be read, or that asks for what cannot be trained or served."""


class DataError(InvalidInput):
    """A data file that cannot be read: file, line, reason."""


class SourceError(InvalidInput):
    """A base model's source that cannot be used."""


class RunExists(InvalidInput):
    """The run folder is taken, or holds an unfinished run."""


class UselessRun(Refused):
    """Training went wrong in a way that makes its result worthless."""
