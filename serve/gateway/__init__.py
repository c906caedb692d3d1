"""The gateway: OpenAI's API, keys and quotas before the engine."""
