"""LiteLLM's client as its users write it: ``python ask_litellm.py URL MODEL`` prints what came back, as JSON."""

import json
import sys
from typing import Any

import litellm  # type: ignore[import-not-found]  # it stands in a folder of its own


def main(url: str, model: str) -> None:
    """Ask whole, streamed, for the models, and for one that is not there."""
    question: dict[str, Any] = {
        "model": f"openai/{model}",
        "api_base": url,
        "api_key": "none",
        "messages": [{"role": "user", "content": "Hello, who are you?"}],
        "max_tokens": 6,
        "temperature": 0,
        "max_retries": 0,
    }
    whole = litellm.completion(**question)
    chunks = list(litellm.completion(**question, stream=True, stream_options={"include_usage": True}))
    models = litellm.get_valid_models(
        check_provider_endpoint=True,
        custom_llm_provider="openai",
        api_base=url,
        api_key="none",
    )
    failure: dict[str, Any] = {}
    try:
        litellm.completion(**question | {"model": "openai/nobody:1"})
    except litellm.NotFoundError as error:
        failure = {"status": error.status_code, "message": str(error), "kind": type(error).__name__}
    answer = {
        "whole": whole.choices[0].message.content,
        "streamed": "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices),
        "tokens": litellm.stream_chunk_builder(chunks).usage.completion_tokens,
        "models": models,
        "failure": failure,
    }
    print(json.dumps(answer))  # noqa: T201 - for the test


if __name__ == "__main__":
    main(*sys.argv[1:])
