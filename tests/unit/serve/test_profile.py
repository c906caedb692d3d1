import dataclasses

import pytest

from registry.base_model import BaseModel
from registry.errors import InvalidInput
from registry.store import Registry
from serve.engine.profile import InstalledEngine, serving_profile
from serve.limits import fitting_rank
from tests.unit.serve.conftest import Push

ENGINE = InstalledEngine("0.32.0", "cpu")


def test_whatever_changes_the_answers_changes_the_fingerprint(base: BaseModel) -> None:
    profile = serving_profile(base, ENGINE, 64)
    assert serving_profile(base, ENGINE, 64).fingerprint == profile.fingerprint
    assert serving_profile(dataclasses.replace(base, name="renamed"), ENGINE, 64).fingerprint == profile.fingerprint
    others = [
        serving_profile(base, ENGINE, 128),
        serving_profile(base, InstalledEngine("0.33.0", "cpu"), 64),
        serving_profile(base, InstalledEngine("0.32.0", "cuda"), 64),
        serving_profile(dataclasses.replace(base, chat_template_digest="sha256:ff"), ENGINE, 64),
        serving_profile(dataclasses.replace(base, quantization="other"), ENGINE, 64),
        serving_profile(base, ENGINE, 64, ("--kv-cache-dtype=fp8",)),
    ]
    assert len({other.fingerprint for other in [profile, *others]}) == len(others) + 1


def test_the_rank_is_the_registry_s_or_as_asked(registry: Registry, base: BaseModel, push: Push) -> None:
    push("demo")
    assert fitting_rank(None, registry, base) == 16
    assert fitting_rank(17, registry, base) == 32
    assert fitting_rank(1, registry, base) == 1
    with pytest.raises(InvalidInput, match="ranks up to 512"):
        fitting_rank(513, registry, base)
