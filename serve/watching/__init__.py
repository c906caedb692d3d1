"""Watching: metrics, traces, the access log, and ``adaptory top``."""
