import pytest

from serve.engine.diagnosis import explain, stage


@pytest.mark.parametrize(
    ("output", "status", "words"),
    [
        ("ValueError: Available memory on node 0 (2.1/23.0 GiB) on startup is less than desired", 1, "memory is free"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20 GiB", 1, "GPU's memory"),
        ("ModuleNotFoundError: No module named 'bitsandbytes'", 1, "pip install bitsandbytes"),
        ("ModuleNotFoundError: No module named 'fancy.thing'", 1, "fancy.thing"),
        (
            "RuntimeError: DefaultCPUAllocator: can't allocate memory: you",
            1,
            "memory is too small",
        ),
        ("RuntimeError: Only one platform plugin can be activated, but got: ['x']", 1, "ADAPTORY_SLICED_LORA=0"),
        ("api_server.py: error: unrecognized arguments: --frobnicate", 2, "--frobnicate"),
        ("", 137, "ran out of memory"),
        ("INFO fine\n(EngineCore) ValueError: the moon is full\nRuntimeError: Engine core failed", 1, "moon is full"),
        ("", 5, "status 5"),
        ("", None, "never became ready"),
    ],
)
def test_a_failed_start_is_one_sentence(output: str, status: int | None, words: str) -> None:
    sentence = explain(output, status)
    assert words in sentence
    assert "\n" not in sentence


def test_the_stage_is_that_of_the_last_telling_line() -> None:
    assert stage("") == "importing"
    assert stage("INFO EngineCore init\nINFO Starting to load model /x\nINFO something") == "loading the weights"
