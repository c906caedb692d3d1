"""The engine: vLLM as a process of its own, started, watched and asked over a Unix socket."""
