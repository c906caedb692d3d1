"""A stock vLLM with our resolver: references of the registry are names there."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import openai
import psutil
import pytest
from openai import OpenAI

from registry.bases import LocalBases
from tests.integration.serve_fixtures import BASE, NO, YES, Workshop, free_port, wait_for
from tests.integration.shell import environment

TOKENS = 4


@contextmanager
def stock_vllm(workshop: Workshop, output: Path) -> Iterator[OpenAI]:
    """vLLM as people start it, with nothing of ours but the plugin."""
    port, settings = free_port(), workshop.settings
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host", "127.0.0.1", "--port", str(port),
        "--model", str(LocalBases(settings.bases).nf4(workshop.base)), "--served-model-name", BASE,
        "--quantization", "bitsandbytes", "--dtype", "bfloat16", "--max-model-len", "512", "--max-num-seqs", "4",
        "--enable-lora", "--max-loras", "2", "--max-lora-rank", "16", "--enforce-eager",
    ]  # fmt: skip
    plugin = {"ADAPTORY_RESOLVER": "1", "ADAPTORY_REGISTRY": settings.registry, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
              "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}  # fmt: skip
    with output.open("w") as stream:
        process = subprocess.Popen(
            command, env=environment(settings.home) | plugin, stdout=stream, stderr=stream, cwd=output.parent
        )
    try:
        wait_for(lambda: healthy(port) or process.poll() is not None)
        assert process.poll() is None, output.read_text()
        with OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0, timeout=300) as client:
            yield client
    finally:
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGINT)
        process.wait(60)
        for left in psutil.wait_procs(family, timeout=30)[1]:
            left.kill()


def healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health").status_code == 200
    except httpx.HTTPError:
        return False


def test_a_stock_vllm_resolves_references_by_digest(workshop: Workshop, tmp_path: Path) -> None:
    first, second = workshop.push("resolved", YES), workshop.push("resolved", NO)
    workshop.promote(first, "prod")

    def ask(model: str) -> tuple[str, str]:
        answer = client.completions.create(model=model, prompt="Say", max_tokens=TOKENS, temperature=0)
        return answer.choices[0].text, answer.model

    with stock_vllm(workshop, tmp_path / "vllm.out") as client:
        for model, word, version in (
            ("resolved:2", NO, second),
            ("resolved", YES, first),
            (f"resolved@{second.digest}", NO, second),
        ):
            text, named = ask(model)
            assert text == word * TOKENS
            assert version.digest in named
        workshop.promote(second, "prod")
        assert ask("resolved")[0] == YES * TOKENS  # as it was when it was first asked for
        client.post("/unload_lora_adapter", body={"lora_name": "resolved"}, cast_to=str)
        assert ask("resolved")[0] == NO * TOKENS
        for nothing in ("resolved:9", "../../etc", "/etc", f"resolved@{second.digest[:15]}"):
            with pytest.raises(openai.NotFoundError):
                ask(nothing)
        assert ask(BASE)[0] not in {YES * TOKENS, NO * TOKENS}
    kept = workshop.settings.cache / "resolver"
    digests = {version.digest.removeprefix("sha256:") for version in (first, second)}
    assert {folder.name for folder in kept.iterdir() if folder.is_dir()} == digests
