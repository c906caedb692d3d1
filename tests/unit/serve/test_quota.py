"""Quotas on a virtual clock, and in the gateway."""

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.api_key import Limits
from registry.base_model import BaseModel
from registry.store import Registry
from serve.errors import RateLimited
from serve.gateway.quota import Allowance, duration
from tests.unit.serve.conftest import Push
from tests.unit.serve.gateway_parts import gateway


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


waits = st.lists(st.floats(0, 100), min_size=1, max_size=100)


@given(st.integers(1, 10_000), waits)
def test_no_more_requests_than_the_minute_allows(per_minute: int, pauses: list[float]) -> None:
    clock = Clock()
    allowance = Allowance(Limits(requests_per_minute=per_minute), clock)
    admitted, began = 0, clock.now
    for pause in pauses:
        clock.now += pause
        try:
            allowance.enter()
        except RateLimited as refusal:
            assert 0 < refusal.retry_after <= 60 / per_minute + 1e-6
        else:
            admitted += 1
    assert admitted <= per_minute + (clock.now - began) * per_minute / 60 + 1e-3


@given(st.integers(1, 1_000_000), st.integers(1, 1_000_000))
def test_who_waits_as_long_as_told_gets_in_and_a_second_earlier_not(per_minute: int, used: int) -> None:
    clock = Clock()
    allowance = Allowance(Limits(tokens_per_minute=per_minute), clock)
    allowance.enter()
    allowance.leave(used)
    try:
        allowance.enter()
    except RateLimited as refusal:
        assert used > per_minute - 1
        told = math.ceil(refusal.retry_after)
        if told > 1:
            clock.now += told - 1.001
            with pytest.raises(RateLimited):
                allowance.enter()
            clock.now += 1.001
        else:
            clock.now += told
        allowance.enter()
    assert allowance.running == 1


def test_what_is_refused_takes_nothing() -> None:
    clock = Clock()
    limits = Limits(requests_per_minute=60, tokens_per_minute=100, concurrent=1)
    allowance = Allowance(limits, clock)
    allowance.enter()
    for _ in range(5):
        with pytest.raises(RateLimited):
            allowance.enter()
    assert allowance.headers()["x-ratelimit-remaining-requests"] == "59"
    allowance.leave(250)
    assert allowance.running == 0
    with pytest.raises(RateLimited) as caught:
        allowance.enter()
    assert allowance.headers() == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "100",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "2m30s",
    }
    assert caught.value.retry_after == pytest.approx(151 * 60 / 100)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0ms"), (0.0201, "21ms"), (1, "1s"), (59.2, "1m0s"), (60, "1m0s"), (360, "6m0s")]
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_gateway_counts_by_key(registry: Registry, base: BaseModel, push: Push, tmp_path: Path) -> None:
    push("demo")
    limited = registry.keys.create("limited", actor="test", limits=Limits(requests_per_minute=2)).token
    free = registry.keys.create("free", actor="test").token
    with gateway(registry, base, tmp_path, keys=True) as opened:

        def ask(key: str, model: str = "demo:1") -> tuple[int, dict[str, str]]:
            reply = opened.ask("POST", "/v1/completions", key=key, json_={"model": model})
            return reply.status, reply.headers

        assert ask(limited)[1]["x-ratelimit-remaining-requests"] == "1"
        assert ask(limited, "nobody")[0] == 404
        status, headers = ask(limited)
        assert status == 429
        assert 1 <= int(headers["retry-after"]) <= 30
        assert headers["x-ratelimit-remaining-requests"] == "0"
        refused = opened.ask("POST", "/v1/completions", key=limited, json_={"model": "demo:1"})
        assert refused.code == "rate_limit_exceeded"
        assert refused.read == 0
        status, headers = ask(free)
        assert status == 503
        assert not [name for name in headers if name.startswith("x-ratelimit")]
