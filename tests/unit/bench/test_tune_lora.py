from bench.tune_lora import LINEARS, MOST_SLICES, SLICES, TOKENS, Case, Launch, cases, table


def test_a_file_has_the_launches_where_vllm_looks_for_them() -> None:
    launches: dict[Case, Launch] = {
        Case("shrink", linear, 16, tokens): {"block_m": tokens, "block_n": len(linear.outputs)}
        for linear in LINEARS
        for tokens in (16, 256)
    }
    found = table(launches)["9"]
    assert found["3"]["256"]["4096"]["16"] == {"block_m": 256, "block_n": 3}
    assert found["2"]["16"]["4096"]["16"] == {"block_m": 16, "block_n": 2}
    assert set(found) == {str(number) for number in range(1, MOST_SLICES + 1)}
    assert found[str(MOST_SLICES)] == found["3"]


def test_expand_is_tuned_for_one_slice_at_a_time_as_it_is_called() -> None:
    expanded = {case.linear for case in cases(TOKENS) if case.op == "expand"}
    assert expanded == set(SLICES)
    assert {width for linear in LINEARS for width in linear.outputs} == {one.outputs[0] for one in SLICES}
