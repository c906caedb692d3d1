from typing import Any

import pytest

from bench.engine_steps import steps


def event(cat: str, name: str, begin: float, took: float) -> dict[str, Any]:
    return {"cat": cat, "name": name, "ts": begin, "dur": took}


def test_a_kernel_counts_for_the_step_that_it_ran_in_and_for_its_kind() -> None:
    events = [
        event("gpu_user_annotation", "execute_context_2(508)_generation_0(0)", 0, 1000),
        event("gpu_user_annotation", "execute_context_0(0)_generation_256(256)", 2000, 500),
        event("user_annotation", "execute_context_0(0)_generation_256(256)", 1500, 500),
        event("kernel", "_lora_expand_kernel", 100, 400),
        event("kernel", "nvjet_sm90_tst_320x128", 2000, 300),
        event("gpu_memcpy", "Memcpy HtoD", 2300, 100),
        event("cpu_op", "aten::mm", 2100, 50),
    ]
    (first_tokens, first, first_kinds), (second_tokens, second, second_kinds) = steps(events)
    assert (first_tokens, second_tokens) == ("508 + 0", "0 + 256")
    assert (first, second) == (1.0, 0.5)
    assert dict(first_kinds) == {"LoRA expand": pytest.approx(0.4)}
    assert dict(second_kinds) == {"products": pytest.approx(0.3), "copies": pytest.approx(0.1)}
