"""Training and serving hold the same weights: the trainer's model and the server choose the same tokens."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from peft import PeftModel

from registry.bases import LocalBases
from tests.integration.serve_fixtures import Server, Workshop
from tests.integration.shell import Shell
from trainer.adapter import load_base

PROMPTS = 50
BATCH = 10
NOISE = 0.25  # nats; bf16 in the engine differs from itself in another batch by up to this


@pytest.fixture(scope="module")
def prompts(checkout: Shell) -> list[Any]:
    """Held-out conversations up to the answer."""
    lines = (checkout.folder / "build" / "address" / "heldout.jsonl").read_text().splitlines()[:PROMPTS]
    return [json.loads(line)["messages"][:-1] for line in lines]


def first_token(server: Server, model: str, conversation: Any) -> tuple[str, float]:
    """What the server says first, and how likely it finds it."""
    body = {"model": model, "messages": conversation, "max_tokens": 1, "temperature": 0, "logprobs": True}
    response = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=300)
    assert response.status_code == 200, response.text
    (chosen,) = response.json()["choices"][0]["logprobs"]["content"]
    return bytes(chosen["bytes"]).decode(), chosen["logprob"]


def first_logprobs(model: Any, tokenizer: Any, prompts: list[Any]) -> torch.Tensor:
    """The trainer's log-probabilities of the first token of each answer, (prompts, vocabulary)."""
    found = []
    for start in range(0, len(prompts), BATCH):
        ids: Any = tokenizer.apply_chat_template(
            prompts[start : start + BATCH], add_generation_prompt=True, padding=True, return_dict=True,
            return_tensors="pt", tokenizer_kwargs={"padding_side": "left"},
        )  # fmt: skip
        with torch.no_grad():
            logits = model(**ids, logits_to_keep=1).logits[:, -1].float()
        found.append(torch.log_softmax(logits, dim=-1))
    return torch.cat(found)


def differences(
    server: Server, name: str, model: Any, tokenizer: Any, prompts: list[Any]
) -> tuple[list[float], list[float]]:
    """For each prompt, of the server's first token, in nats.

    Returns:
        How far apart the two log-probabilities of it are, and how far it is below the trainer's choice (0: the same).
    """
    with ThreadPoolExecutor(BATCH) as pool:
        answers = list(pool.map(lambda prompt: first_token(server, name, prompt), prompts))
    apart, below = [], []
    for (text, logprob), ours in zip(answers, first_logprobs(model, tokenizer, prompts), strict=True):
        token = tokenizer.encode(text, add_special_tokens=False)[0]
        apart.append(abs(float(ours[token]) - logprob))
        below.append(float(ours.max() - ours[token]))
    return apart, below


@pytest.fixture(scope="module")
def base_model(workshop: Workshop) -> tuple[Any, Any]:
    """The trainer's own base, and its tokenizer."""
    return load_base(LocalBases(workshop.settings.bases).nf4(workshop.base), cuda=False)


def test_the_base_is_the_same_up_to_noise(
    workshop: Workshop, server: Server, base_model: tuple[Any, Any], prompts: list[Any]
) -> None:
    """The base wavers between first words, so that noise decides some of them: those must be near-ties."""
    apart, below = differences(server, workshop.base.name, *base_model, prompts)
    assert sum(apart) / PROMPTS < 0.1
    assert max(below) < NOISE


def test_the_adapter_answers_as_it_was_trained(
    workshop: Workshop, server: Server, base_model: tuple[Any, Any], trained: Path, prompts: list[Any]
) -> None:
    model, tokenizer = base_model
    adapted = PeftModel.from_pretrained(model, str(trained)).eval()
    pushed = workshop.registry.versions.push(trained, "agreement", actor="test", base=workshop.base)
    apart, below = differences(server, str(pushed.version), adapted, tokenizer, prompts)
    assert sum(gap == 0 for gap in below) >= 0.95 * PROMPTS
    assert sum(apart) / PROMPTS < 0.1
