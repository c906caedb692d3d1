"""Benchmarks: what docs/performance.md says, measured. ``make bench`` runs them."""
