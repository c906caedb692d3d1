import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.base_model import BaseModel
from registry.errors import NotFound
from registry.refs import AdapterRef
from registry.settings import Settings
from registry.store import Registry
from registry.version import AdapterVersion
from serve.engine.share import Share
from serve.engine.vllm_process import EngineOptions
from serve.resolver import MISS_SECONDS, MOST_MISSES, RegistryResolver
from tests.unit.serve.conftest import Push, tiny_base


class Counting(RegistryResolver):
    """Counts how often the registry is asked."""

    asked = 0

    def _find(self, base_model_name: str, ref: AdapterRef) -> tuple[AdapterVersion, Path]:
        self.asked += 1
        return super()._find(base_model_name, ref)


class Resolving:
    """A resolver over the registry of a test, with a clock that stands."""

    def __init__(self, registry: Registry, home: Path) -> None:
        self.now = 0.0
        settings = Settings(home=home, registry=str(home.parent / "registry"), actor="test", server="")
        self.resolver = Counting(settings, lambda: self.now)
        self.resolver._registry = registry
        self.model = home / "bases" / "tiny" / "nf4"

    def resolve(self, name: str, model: Path | None = None) -> Any:
        return asyncio.run(self.resolver.resolve_lora(str(model or self.model), name))


@pytest.fixture
def resolving(registry: Registry, base: BaseModel, tmp_path: Path) -> Resolving:
    made = Resolving(registry, tmp_path / "home")
    made.model.mkdir(parents=True)
    (made.model.parent / "base.json").write_text(json.dumps(base.to_json()))
    return made


@pytest.fixture(autouse=True)
def requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """vLLM's LoRARequest without vLLM, which takes ten seconds to import."""

    class LoRARequest:
        def __init__(self, lora_name: str, lora_int_id: int, lora_path: str) -> None:
            self.lora_name, self.lora_int_id, self.lora_path = lora_name, lora_int_id, lora_path

    module: Any = type(sys)("vllm.lora.request")
    module.LoRARequest = LoRARequest
    monkeypatch.setitem(sys.modules, "vllm.lora.request", module)
    for parent in ("vllm", "vllm.lora"):
        monkeypatch.setitem(sys.modules, parent, type(sys)(parent))


def test_every_form_of_a_reference_means_a_digest(resolving: Resolving, registry: Registry, push: Push) -> None:
    first, second = push("demo"), push("demo")
    registry.aliases.promote("demo:1", "prod", actor="test", reason="test", force=True)
    for name, version in (("demo:2", second), ("demo", first), ("demo@prod", first), (f"demo@{second.digest}", second)):
        request = resolving.resolve(name)
        folder = Path(request.lora_path)
        assert request.lora_name == f"{name} {version.digest}"
        assert folder == resolving.model.parents[2] / "cache" / "resolver" / version.digest.removeprefix("sha256:")
        for entry in version.manifest.files:
            entry.verify(folder)


def test_another_base_is_refused(resolving: Resolving, push: Push, caplog: pytest.LogCaptureFixture) -> None:
    push("foreign", to=tiny_base("other"))
    push("demo")
    assert resolving.resolve("foreign:1") is None
    assert "foreign:1 is not served: it is an adapter of the base other" in caplog.text
    assert resolving.resolve("demo:1", Path("some/hub-id")) is None
    assert "vLLM serves no base that was prepared here" in caplog.text


def test_files_that_were_changed_are_refused(
    resolving: Resolving, push: Push, caplog: pytest.LogCaptureFixture
) -> None:
    push("demo")
    weights = Path(resolving.resolve("demo:1").lora_path) / "adapter_model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(b"else")
    assert resolving.resolve("demo:1") is None
    assert "does not have the content that was recorded" in caplog.text


TRICKS = ["/etc", "../../etc", "demo/../x", "demo:1/..", "demo:01", "demo@sha256:abcdabcd", "x" * 300, "", "demo:1\0"]


@given(st.one_of(st.text(), st.sampled_from(TRICKS)))
def test_what_is_no_reference_reaches_nothing(name: str) -> None:
    settings = Settings(home=Path("/nowhere"), registry="/nowhere/registry", actor="test", server="")

    class Asked(RegistryResolver):
        def _find(self, _: str, ref: Any) -> Any:
            assert str(ref).startswith(name)  # a reference; nothing else comes so far
            raise NotFound("Not here.")

    assert asyncio.run(Asked(settings).resolve_lora("base", name)) is None
    assert not Path("/nowhere").exists()


def test_misses_are_remembered_shortly_and_not_without_end(resolving: Resolving, push: Push) -> None:
    for _ in range(3):
        assert resolving.resolve("demo:1") is None
    assert resolving.resolver.asked == 1
    push("demo")
    resolving.now += MISS_SECONDS
    assert resolving.resolve("demo:1")
    for number in range(2 * MOST_MISSES):
        resolving.resolver._miss(f"bogus-{number}:1")
    assert len(resolving.resolver._misses) == MOST_MISSES


def test_it_stays_off_in_our_own_engine_and_wherever_it_was_not_asked_for(tmp_path: Path) -> None:
    options = EngineOptions(model=tmp_path, name="tiny", device="cpu", slots=1, host_adapters=2, max_lora_rank=16,
                            lora_modules=(), context_length=64, max_sequences=1, kv_cache_gib=1)  # fmt: skip
    assert options.environment(Share(), tmp_path, {"ADAPTORY_RESOLVER": "1"})["ADAPTORY_RESOLVER"] != "1"
    program = "import sys, serve.resolver as r; r.register(); print({'vllm', 'sqlalchemy', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env={})
    assert done.stdout == "set()\n"
