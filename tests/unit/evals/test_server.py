import json
from pathlib import Path

import httpx
import pytest

from evals.evaluation import evaluate
from evals.server import Server
from evals.suite import read_suite
from registry.base_model import BaseModel
from registry.embedded.registry import EmbeddedRegistry
from registry.errors import InvalidInput
from tests.unit.registry.conftest import MakeAdapter, base, make_adapter

__all__ = ["base", "make_adapter"]  # fixtures


def test_nothing_is_asked_where_the_base_is_not_served(
    embedded: EmbeddedRegistry, base: BaseModel, make_adapter: MakeAdapter, tmp_path: Path
) -> None:
    version = embedded.versions.push(make_adapter(), "support", actor="ada", base=base).version
    row = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "{}"}]}
    (tmp_path / "data.jsonl").write_text(json.dumps(row))
    (tmp_path / "suite.toml").write_text('name = "t"\ndata = "data.jsonl"\n')
    paths: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        paths.append(request.url.path)
        return httpx.Response(200, json={"data": [{"id": "support:1"}]})

    profile = {"base_name": base.name, "base_fingerprint": base.fingerprint, "fingerprint": "sha256:aa"}
    with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://laptop") as client:
        server = Server("http://laptop", client)
        with pytest.raises(InvalidInput, match="does not serve the base tiny alone") as refused:
            evaluate(
                version, read_suite(tmp_path / "suite.toml"), server,
                profile=profile, earlier=(), concurrency=1, on_answer=lambda: None,
            )  # fmt: skip
    assert refused.value.hint == "adaptory serve --base tiny"
    assert paths == ["/v1/models"]
