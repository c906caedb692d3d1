"""For all tests: Hypothesis measures no times, since two cores may be busy with an engine."""

from hypothesis import settings

settings.register_profile("adaptory", deadline=None)
settings.load_profile("adaptory")
