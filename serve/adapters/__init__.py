"""Adapters on this machine: on its disk, in the engine's memory, and proven there."""
