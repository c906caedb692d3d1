from pathlib import Path

import pytest

from registry.errors import AdaptoryError, NotFound
from trainer.errors import RecipeError, SourceError
from trainer.plan import resolve_targets
from trainer.source import Source


def model_folder(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_a_folder_is_known_by_its_content(tmp_path: Path) -> None:
    first, second = model_folder(tmp_path / "m"), model_folder(tmp_path / "n")
    source = Source.parse(str(first))
    assert (source.name, source.path, source.fetched()) == ("m", first, source)
    assert source.digest() == Source.parse(str(second)).digest()
    (second / "config.json").write_text('{"x": 1}', encoding="utf-8")
    assert source.digest() != Source.parse(str(second)).digest()


def test_a_hugging_face_id_may_carry_a_commit() -> None:
    assert Source.parse("org/model") == Source("org/model", None)
    assert Source.parse("org/model@abc123") == Source("org/model", None, "abc123")


def test_what_is_no_source_is_told_so(tmp_path: Path) -> None:
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}", encoding="utf-8")
    text = tmp_path / "model.txt"
    text.write_text("x", encoding="utf-8")
    cases: dict[str, type[AdaptoryError]] = {
        str(tmp_path / "absent.gguf"): NotFound,
        "org/absent.gguf": NotFound,
        "word": NotFound,
        str(tmp_path): SourceError,
        str(pickled): SourceError,
        str(text): SourceError,
        "package:no-such-package-here": SourceError,
        "package:click": SourceError,
    }
    for source, error in cases.items():
        with pytest.raises(error) as caught:
            Source.parse(source)
        assert caught.value.hint
        assert caught.value.exit_code == 2


def test_targets_are_layers_of_the_base() -> None:
    modules = ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj", "model.layers.0.mlp.up_proj"]
    assert resolve_targets("all-linear", modules) == ["q_proj", "up_proj"]
    assert resolve_targets(["up_proj", "up_proj"], modules) == ["up_proj"]
    with pytest.raises(RecipeError, match="q_porj") as caught:
        resolve_targets(["q_porj"], modules)
    assert caught.value.hint == "Did you mean q_proj?"
    with pytest.raises(RecipeError, match="empty"):
        resolve_targets([], modules)
