from pathlib import Path

from registry.base_model import BaseModel
from registry.store import Registry
from tests.unit.serve.gateway_parts import gateway


def test_whether_the_registry_is_away_is_said_and_where_it_lies_is_not(
    registry: Registry, base: BaseModel, tmp_path: Path
) -> None:
    with gateway(registry, base, tmp_path, keys=True) as opened:
        assert "registry" not in opened.ask("GET", "/readyz").json
        opened.replica.catalogue.stale = f"no such file: {tmp_path}/registry.db"
        answer = opened.ask("GET", "/readyz")
    assert answer.json["registry"] == "away"
    assert str(tmp_path).encode() not in answer.body
