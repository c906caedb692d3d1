"""The probe: one real request that proves an adapter is finite and not silently the base."""

import asyncio
import math
from collections.abc import Sequence

from serve.engine.client import Engine
from serve.errors import AdapterRefused

PROMPT = "The adapter turns this line into an answer: 1600 Main Street, Springfield"
TOGETHER = 8
NOISE_FACTOR = 2.0

LEAST_NOISE = 0.01
"""Nats. The answers that are asked for together may all be computed alone, and then show no noise; in batches they
differ by 0.015 to 0.034 (SmolLM2-135M, bf16, two CPU cores, vLLM 0.32)."""


class Probe:
    """Knows what the base says to a fixed prompt, and what an adapter must not say.

    vLLM answers 200 for an adapter whose tensors match nothing and then serves the base (0.32), so the probe compares
    the log-probabilities of a fixed prompt's tokens. Measurements of the base itself differ by batch noise (bf16,
    other requests in the batch): an adapter has to differ by more than that. The base is asked while nothing else
    runs, since on the CPU it is not itself beside an adapter (see ``slots.py``).
    """

    def __init__(self, base: str | None) -> None:
        """``base`` is what the engine calls the base, or None where it has none: it then only has to answer."""
        self._base = base
        self._reference: list[float] = []
        self._noise = 0.0

    async def measure_base(self, engine: Engine) -> None:
        """Ask the base, alone and several times at once; done for each engine before it serves."""
        if self._base is None:
            return
        self._reference = await _answer(engine, self._base)
        together = await asyncio.gather(*(_answer(engine, self._base) for _ in range(TOGETHER)))
        self._noise = max(LEAST_NOISE, *(distance(self._reference, answer) for answer in together))

    async def check(self, engine: Engine, name: str) -> None:
        """Ask the adapter that the engine knows as ``name``.

        Raises:
            AdapterRefused: it is not finite, or it changes nothing.
            EngineAway: the engine does not answer.
        """
        if self._base is None:
            await engine.complete(name, PROMPT)
            return
        if distance(await _answer(engine, name), self._reference) <= NOISE_FACTOR * self._noise:
            raise AdapterRefused("This adapter changes nothing: the engine answers as the base does.")


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """Mean absolute difference of two equally long rows of log-probabilities, in nats."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True)) / len(one)


async def _answer(engine: Engine, name: str) -> list[float]:
    """The prompt's log-probabilities under this name, all of them finite.

    Raises:
        AdapterRefused: one is not.
        EngineAway: the engine does not answer.
    """
    values = await engine.prompt_logprobs(name, PROMPT)
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if len(finite) != len(values) or not finite:
        raise AdapterRefused("This adapter gives values that are not finite (NaN or infinity).")
    return finite
