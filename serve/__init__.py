"""Serving: a gateway that speaks OpenAI's API before one engine that holds one 4-bit base and many adapters."""
