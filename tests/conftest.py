"""For all tests: Hypothesis measures no times, since two cores may be busy with an engine; and Ctrl-C is heeded."""

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

settings.register_profile("adaptory", deadline=None)
settings.load_profile("adaptory")


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """What is started heeds SIGINT, though a shell's ``&`` leaves it ignored for the tests and all that they start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
