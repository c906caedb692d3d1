"""Training and serving hold the same weights: the trainer's model and the server choose the same tokens."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from peft import PeftModel

from registry.bases import LocalBases
from tests.integration.conftest import Checkout
from tests.integration.serve_fixtures import Server, Workshop
from trainer.adapter import load_base

PROMPTS = 50


@pytest.fixture(scope="module")
def prompts(checkout: Checkout) -> list[Any]:
    """Held-out conversations up to the answer."""
    lines = (checkout.folder / "build" / "address" / "heldout.jsonl").read_text().splitlines()[:PROMPTS]
    return [json.loads(line)["messages"][:-1] for line in lines]


def first_token(server: Server, model: str, conversation: Any) -> tuple[str, float]:
    """What the server says first, and how likely it finds it."""
    body = {"model": model, "messages": conversation, "max_tokens": 1, "temperature": 0, "logprobs": True}
    response = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=120)
    assert response.status_code == 200, response.text
    (chosen,) = response.json()["choices"][0]["logprobs"]["content"]
    return bytes(chosen["bytes"]).decode(), chosen["logprob"]


@pytest.mark.parametrize("adapted", [True, False], ids=["adapter", "base"])
def test_the_server_computes_what_the_trainer_computed(
    workshop: Workshop, server: Server, trained: Path, prompts: list[Any], adapted: bool
) -> None:
    model: Any
    model, tokenizer = load_base(LocalBases(workshop.settings.bases).nf4(workshop.base), cuda=False)
    name = workshop.base.name
    if adapted:
        model = PeftModel.from_pretrained(model, str(trained))
        pushed = workshop.registry.versions.push(trained, "agreement", actor="test", base=workshop.base)
        name = str(pushed.version)
    model.eval()
    same, differences = 0, []
    for conversation in prompts:
        text, logprob = first_token(server, name, conversation)
        ids: Any = tokenizer.apply_chat_template(
            conversation, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        with torch.no_grad():
            ours = torch.log_softmax(model(**ids).logits[0, -1].float(), dim=-1)
        best = int(ours.argmax())
        same += tokenizer.decode([best]) == text
        differences.append(abs(float(ours[best]) - logprob))
    assert same >= 0.95 * PROMPTS
    assert sum(differences) / PROMPTS < 0.1
