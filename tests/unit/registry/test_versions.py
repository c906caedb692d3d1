import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.base_model import BaseModel
from registry.canonical import digest_file
from registry.errors import Conflict, Corrupted, InvalidAdapter, InvalidReference, NotFound
from registry.store import Registry
from tests.unit.registry.conftest import MakeAdapter, weights_file


@pytest.fixture
def registry(either: Registry) -> Registry:
    return either


def test_pushing_again_is_the_same_version(registry: Registry, base: BaseModel, make_adapter: MakeAdapter) -> None:
    first = registry.versions.push(make_adapter(seed=1), "support", actor="ada", base=base, note="first")
    again = registry.versions.push(make_adapter(seed=1), "support", actor="bob", base=base)
    other = registry.versions.push(make_adapter(seed=2), "support", actor="ada", base=base)
    assert (first.created, again.created, other.created) == (True, False, True)
    assert again.version == first.version
    assert [str(version) for version in registry.versions.list("support")] == ["support:1", "support:2"]


def test_a_version_is_found_by_number_digest_and_alias(
    registry: Registry, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    version = registry.versions.push(make_adapter(), "team/support", actor="ada", base=base).version
    registry.aliases.promote("team/support:1", "canary", actor="ada")
    for ref in ("team/support:1", f"team/support@{version.digest}", "team/support@canary"):
        assert registry.versions.get(ref) == version
    assert registry.versions.get(f"team/support@{version.digest[:15]}") == version
    with pytest.raises(NotFound, match="versions 1 to 1"):
        registry.versions.get("team/support:2")
    with pytest.raises(NotFound, match="no alias prod"):
        registry.versions.get("team/support")
    with pytest.raises(NotFound, match="No adapter is called nobody"):
        registry.versions.get("nobody:1")


def test_what_is_pulled_is_what_was_pushed(
    registry: Registry, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    folder = make_adapter()
    (folder / "optimizer.pt").write_bytes(b"not for anyone")
    version = registry.versions.push(folder, "support", actor="ada", base=base).version
    registry.versions.pull(version, tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert digest_file(weights_file(tmp_path / "out")) == digest_file(weights_file(folder))
    with pytest.raises(Conflict, match="exists already"):
        registry.versions.pull(version, tmp_path / "out")


def test_one_flipped_byte_is_found_and_nothing_is_left(
    registry: Registry, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    version = registry.versions.push(make_adapter(), "support", actor="ada", base=base).version
    for blob in (tmp_path / "registry" / "blobs" / "sha256").glob("*/*"):
        content = bytearray(blob.read_bytes())
        content[len(content) // 2] ^= 1
        blob.chmod(0o644)
        blob.write_bytes(content)
    with pytest.raises(Corrupted):
        registry.versions.pull(version, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_a_refused_push_leaves_nothing(
    registry: Registry, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    with pytest.raises(InvalidAdapter):
        registry.versions.push(make_adapter(config={"use_dora": True}), "support", actor="ada", base=base)
    assert not list((tmp_path / "registry" / "blobs").rglob("*.*"))
    with pytest.raises(NotFound):
        registry.versions.list("support")


def test_the_base_comes_from_the_record(registry: Registry, base: BaseModel, make_adapter: MakeAdapter) -> None:
    record: dict[str, Any] = {"base": {"name": base.name, "fingerprint": base.fingerprint}}
    record |= {"recipe": {"lr": 1}, "data": {}, "metrics": {"held_out_loss": 0.5}, "code": {}}
    with pytest.raises(NotFound, match="knows no base"):
        registry.versions.push(make_adapter(record=record), "support", actor="ada")
    registry.bases.add(base)
    version = registry.versions.push(make_adapter(record=record), "support", actor="ada").version
    assert version.manifest.metrics == {"held_out_loss": 0.5}
    other = replace(base, quantization="other")
    with pytest.raises(InvalidAdapter, match="was trained on the base tiny"):
        registry.versions.push(make_adapter(record=record), "support", actor="ada", base=other)
    with pytest.raises(InvalidAdapter, match="does not say which base"):
        registry.versions.push(make_adapter(), "support", actor="ada")


def test_names_of_bases_and_adapters_never_meet(registry: Registry, base: BaseModel, make_adapter: MakeAdapter) -> None:
    with pytest.raises(Conflict, match="is a base's name"):
        registry.versions.push(make_adapter(), base.name, actor="ada", base=base)
    registry.versions.push(make_adapter(), "support", actor="ada", base=base)
    with pytest.raises(Conflict, match="is an adapter's name"):
        registry.bases.add(replace(base, name="support", quantization="other"))
    with pytest.raises(InvalidReference):
        registry.bases.add(replace(base, name="../Evil Name", quantization="other"))


def test_a_base_that_is_known_may_come_under_any_name(
    registry: Registry, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    registry.bases.add(base)
    registry.bases.add(replace(base, name="other", quantization="other"))
    pushed = registry.versions.push(make_adapter(), "support", actor="ada", base=replace(base, name="other")).version
    assert pushed.number == 1
    assert [known.name for known in registry.bases.list()] == ["other", base.name]


def test_a_digest_that_fits_two_versions_is_refused(
    registry: Registry, base: BaseModel, make_adapter: MakeAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registry.refs._DIGEST", re.compile("sha256:"))
    for seed in (1, 2):
        registry.versions.push(make_adapter(seed=seed), "support", actor="ada", base=base)
    with pytest.raises(InvalidReference, match="more than one version"):
        registry.versions.get("support@sha256:")


def test_events_tell_what_became_visible(registry: Registry, base: BaseModel, make_adapter: MakeAdapter) -> None:
    version = registry.versions.push(make_adapter(), "support", actor="ada", base=base).version
    registry.aliases.promote("support:1", "canary", actor="ada")
    first, second = registry.events.after(0)
    assert (first.kind, first.subject, first.payload["digest"]) == ("version", "support", version.digest)
    assert (second.kind, second.payload["alias"]) == ("alias", "canary")
    assert registry.events.after(first.id) == [second]
    assert registry.events.last_id() == second.id
