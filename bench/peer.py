"""LiteLLM's proxy, from an environment of its own, before an engine that listens on a loopback port."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.process import answers, free_port, running

LITELLM = Path(__file__).with_name(".venv-litellm") / "bin" / "litellm"
INSTALL = "make bench-peers"
CONFIG = """\
model_list:
  - model_name: {model}
    litellm_params: {{model: hosted_vllm/{model}, api_base: "{engine}/v1", api_key: none}}
litellm_settings: {{telemetry: false, request_timeout: 600, num_retries: 0}}
"""
ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it asks the network at its start
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "NO_DOCS": "True",
}


def installed() -> bool:
    """Whether ``make bench-peers`` was run."""
    return LITELLM.is_file()


@contextmanager
def litellm(engine: str, model: str, work: Path) -> Iterator[str]:
    """The proxy's URL, while it runs.

    Args:
        engine: ``http://host:port`` of vLLM.
        model: the base's name there, and here.
        work: folder for its configuration and output.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    config = work / "litellm.yaml"
    config.write_text(CONFIG.format(model=model, engine=engine), encoding="utf-8")
    command = [str(LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    with running(
        command, environment=ENVIRONMENT, output=work / "litellm.out", ready=lambda: answers(f"{url}/health/liveliness")
    ):
        yield url
