"""Drift: how far an artifact is from the version as it was trained and is served, NF4 base with the adapter beside.

The reference answers some prompts greedily; then the artifact is shown the same tokens, and at each token of the
answers the log-probability and the most likely token are compared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.prompts import Messages

if TYPE_CHECKING:
    import torch

ANSWER = 16
"""Tokens of each answer."""

PROMPT = 512
"""Tokens of a prompt; longer ones keep their end."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A prompt with its answer.

    Attributes:
        tokens: ids of both.
        start: place of the answer's first token.
    """

    tokens: tuple[int, ...]
    start: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model says at each token of an answer: that token's log-probability, and its own first choice."""

    chosen: tuple[float, ...]
    first: tuple[int, ...]


OnProbe = Callable[[int], None]


def measure(
    *,
    bf16: Path,
    nf4: Path,
    adapter: Path,
    artifact: Path,
    prompts: Sequence[Messages],
    on_probe: OnProbe = lambda _: None,
) -> dict[str, float]:
    """Compare an artifact with NF4 and adapter.

    Args:
        bf16: the base's 16-bit folder, for the shape of the model.
        nf4: the base's NF4 folder, for its weights.
        adapter: folder in PEFT's layout.
        artifact: a .gguf file, or the folder of merged weights.
        prompts: what is asked.
        on_probe: hears 1 for each answer that the artifact has read.

    Returns:
        ``mean_abs_logprob`` (nats) and ``top1_agreement`` (0 to 1) over ``tokens`` tokens of ``prompts`` answers.
    """
    probes, reference = _reference(bf16, nf4, adapter, prompts)
    reader = _read_folder if artifact.is_dir() else _read_gguf
    return compare(reference, reader(artifact, probes, on_probe))


def compare(reference: Sequence[Reading], other: Sequence[Reading]) -> dict[str, float]:
    """Mean absolute difference of the log-probabilities, and how often the first choice is the same."""
    pairs = list(zip(reference, other, strict=True))
    deltas = [abs(a - b) for ours, theirs in pairs for a, b in zip(ours.chosen, theirs.chosen, strict=True)]
    same = [a == b for ours, theirs in pairs for a, b in zip(ours.first, theirs.first, strict=True)]
    return {
        "mean_abs_logprob": round(sum(deltas) / len(deltas), 5),
        "top1_agreement": round(sum(same) / len(same), 5),
        "tokens": float(len(deltas)),
        "prompts": float(len(pairs)),
    }


def _reference(bf16: Path, nf4: Path, adapter: Path, prompts: Sequence[Messages]) -> tuple[list[Probe], list[Reading]]:
    """Greedy answers; in one batch, since a step costs about the same for one row as for thirty."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(nf4, local_files_only=True, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    texts = [_rendered(tokenizer, prompt) for prompt in prompts]
    rows = [tokenizer(text, add_special_tokens=not tokenizer.chat_template)["input_ids"][-PROMPT:] for text in texts]
    batch = tokenizer.pad({"input_ids": rows}, return_tensors="pt")
    with torch.inference_mode():
        output = load_reference(bf16, nf4, adapter).generate(
            **batch,
            max_new_tokens=ANSWER,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
            return_dict_in_generate=True,
            output_logits=True,
        )
    answers = [_cut(row.tolist(), tokenizer.eos_token_id) for row in output.sequences[:, batch["input_ids"].shape[1] :]]
    probes = [Probe(tuple(row + answer), len(row)) for row, answer in zip(rows, answers, strict=True)]
    logits = torch.stack(output.logits, dim=1)  # (rows, steps, vocabulary)
    return probes, [_reading(logits[row, : len(answer)], probes[row]) for row, answer in enumerate(answers)]


def load_reference(bf16: Path, nf4: Path, adapter: Path) -> Any:
    """NF4 base with the adapter beside it: the base's numbers, dequantised once and computed with in float32.

    On the CPU bitsandbytes dequantises every layer again at every step, and bf16 is emulated on most: float32 is many
    times faster there, and what is left of the difference is the artifact's alone.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from export.weights import BaseWeights

    base = AutoModelForCausalLM.from_pretrained(bf16, local_files_only=True, dtype=torch.float32)
    weights, state = BaseWeights(nf4), base.state_dict()
    for name in weights.names:
        state[name].copy_(weights.read(name))
    return PeftModel.from_pretrained(base, adapter).eval()


def _rendered(tokenizer: Any, prompt: Messages) -> str:
    if not tokenizer.chat_template:
        return "\n".join(message["content"] for message in prompt)
    return str(tokenizer.apply_chat_template(list(prompt), tokenize=False, add_generation_prompt=True))


def _cut(answer: list[int], end: int | None) -> list[int]:
    """Up to the end token and with it; what follows is padding."""
    return answer[: answer.index(end) + 1] if end in answer else answer


def _read_folder(folder: Path, probes: Sequence[Probe], on_probe: OnProbe) -> list[Reading]:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    readings = []
    for probe in probes:
        with torch.inference_mode():
            logits = model(input_ids=torch.tensor([probe.tokens])).logits[0]
        readings.append(_reading(logits[probe.start - 1 : -1], probe))
        on_probe(1)
    return readings


def _read_gguf(file: Path, probes: Sequence[Probe], on_probe: OnProbe) -> list[Reading]:
    import torch

    from export.llama import open_llama

    readings = []
    with open_llama(file, context=max(len(probe.tokens) for probe in probes) + 8, logits=True) as llama:
        for probe in probes:
            llama.reset()
            llama.eval(list(probe.tokens))
            rows = torch.from_numpy(llama.scores[probe.start - 1 : len(probe.tokens) - 1])
            readings.append(_reading(rows, probe))
            on_probe(1)
    return readings


def _reading(logits: "torch.Tensor", probe: Probe) -> Reading:
    """Logits of (answer tokens, vocabulary) -> what was said of the answer."""
    import torch

    answer = torch.tensor(probe.tokens[probe.start :])
    chosen = torch.log_softmax(logits.float(), dim=-1).gather(1, answer[:, None])[:, 0]
    return Reading(tuple(chosen.tolist()), tuple(logits.argmax(dim=-1).tolist()))
