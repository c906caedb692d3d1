"""Evals: score a version beside its base, on the set-up that serves, and say whether it may be promoted."""
