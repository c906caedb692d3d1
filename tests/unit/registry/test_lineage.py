"""What a version says of where it comes from."""

import json
from typing import Any

from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.files import FileEntry
from tests.unit.registry.conftest import MakeAdapter, weights_file
from tests.unit.registry.test_replicas import run


def test_a_version_that_was_trained_further_names_the_one_before(
    embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter
) -> None:
    first = make_adapter(seed=1)
    weights = FileEntry.of(first, weights_file(first).name).digest

    def pushed(name: str, parent: str) -> dict[str, Any]:
        record = {
            "base": {"name": base.name, "fingerprint": base.fingerprint}, "recipe": {}, "metrics": {}, "code": {},
            "data": {"digest": "sha256:da", "parent_adapter": parent},
        }  # fmt: skip
        run_folder = make_adapter(seed=2, record=record)
        version = embedded.versions.push(run_folder, name, actor="ada").version
        lineage: dict[str, Any] = json.loads(run(embedded, "show", str(version), "--json").stdout)["lineage"]
        assert lineage["parent"] in run(embedded, "show", str(version)).stdout
        return lineage

    embedded.versions.push(first, "support", actor="ada", base=base)
    assert pushed("support", weights)["parent"] == "support:1"
    assert pushed("other", weights)["parent"] == weights
