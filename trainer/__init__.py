"""The trainer: a recipe and a data file become an adapter in a run folder."""
