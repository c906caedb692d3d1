import json
import sys
from pathlib import Path

import pytest

from registry.errors import MissingPackage
from registry.exchange.hub_folder import arrive


def test_a_card_needs_what_reads_it_unless_a_record_says_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "org/base"}))
    card = folder / "README.md"
    card.write_text("---\nbase_model: org/of-the-card\nlicense: mit\n---\n# Adapter\n", encoding="utf-8-sig")

    def arrived(number: int) -> tuple[str, ...]:
        (tmp_path / str(number)).mkdir()
        return arrive(folder, tmp_path / str(number)).base_models

    assert arrived(1) == ("org/of-the-card", "org/base")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingPackage) as missing:
        arrived(2)
    assert missing.value.hint == "pip install 'adaptory[hub]'"
    (folder / "record.json").write_text("{}")
    assert arrived(3) == ("org/base",)
    (folder / "record.json").unlink()
    card.write_text("# Adapter\n")
    assert arrived(4) == ("org/base",)
