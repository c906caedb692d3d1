"""Silence: the libraries' own bars, warnings and log lines, while ours tell the person what happens."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Mute transformers, datasets and Python warnings inside; errors still come through as exceptions."""
    # The GGUF loader asks nobody before it draws its bar; tqdm reads this once, when it is imported.
    os.environ.setdefault("TQDM_DISABLE", "1")
    import datasets
    import transformers

    transformers.utils.logging.set_verbosity_error()  # type: ignore[no-untyped-call] # transformers'
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call] # transformers'
    datasets.disable_progress_bars()
    for name in ("trl", "peft", "accelerate", "bitsandbytes", "huggingface_hub", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
