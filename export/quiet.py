"""Silence: transformers' bars and warnings, while ours tell the person what happens."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Mute transformers, PEFT and Python warnings inside; errors still come through as exceptions."""
    import transformers

    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call] # transformers' own lack
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call] # the same
    for name in ("peft", "accelerate", "bitsandbytes", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
