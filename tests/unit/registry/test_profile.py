from registry.canonical import digest_document
from registry.profile import ServingProfile

STORED = {
    "base_name": "tiny",
    "base_fingerprint": "sha256:aa",
    "quantization": "nf4-double-bf16",
    "engine": "vllm",
    "engine_version": "0.32.0",
    "device": "cpu",
    "dtype": "bfloat16",
    "kv_cache_dtype": "auto",
    "context_length": 64,
    "chat_template_digest": "sha256:bb",
}
"""As stored before profiles had ``engine_args``."""


def test_a_profile_from_before_engine_args_keeps_its_fingerprint() -> None:
    fingerprint = digest_document({key: value for key, value in STORED.items() if key != "base_name"})
    profile = ServingProfile.from_json(STORED | {"fingerprint": fingerprint})
    assert profile.fingerprint == fingerprint
    assert profile.to_json() == STORED | {"fingerprint": fingerprint}


def test_an_argument_of_the_engine_makes_another_profile() -> None:
    plain = ServingProfile.from_json(STORED)
    profile = ServingProfile.from_json(STORED | {"engine_args": ["--kv-cache-dtype=fp8"]})
    assert profile.fingerprint != plain.fingerprint
    assert profile.to_json()["engine_args"] == ("--kv-cache-dtype=fp8",)
    assert ServingProfile.from_json(profile.to_json()) == profile
