"""The dashboard asks for nothing that a server does not tell."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve.gateway.moment import by_engine, gauges
from serve.watching.access_log import Entry
from serve.watching.metrics import Metrics, Presence

FILE = Path(__file__).parents[3] / "deploy" / "grafana" / "adaptory.json"
METRIC = re.compile(r"adaptory_[a-z_]+")


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return document


def expressions(dashboard: dict[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def told() -> tuple[set[str], set[str]]:
    """Names of samples, and of labels, that a server with some traffic tells."""
    metrics = Metrics()
    entry = Entry("id", "/", status=200, stream=True, tokens_in=1, tokens_out=2, ttft=0.1, duration=0.2)
    metrics.queued("demo:1", 0.1)
    metrics.first_token("demo:1", 0.1)
    metrics.ended("demo:1", entry)
    metrics.failed("demo:1", "queue_full")
    metrics.loaded("demo:1", 0.1)
    metrics.evicted("demo:1")
    metrics.swapped(0.1)
    place = SimpleNamespace(
        number=0,
        scheduler=SimpleNamespace(core=SimpleNamespace(slots=1, inside=0, waiting={}, active={})),
        supervisor=SimpleNamespace(ready=True, restarts=0),
        residency=SimpleNamespace(loaded=[]),
    )
    replica: Any = SimpleNamespace(
        fleet=SimpleNamespace(places=[place]),
        disk=SimpleNamespace(size=0),
        catalogue=SimpleNamespace(versions=list, stale=""),
    )
    metrics.note(gauges(replica), by_engine(replica), {"demo:1": Presence(1, 0, 0)})
    samples = [
        sample for family in text_string_to_metric_families(metrics.render().decode()) for sample in family.samples
    ]
    return {sample.name for sample in samples}, {label for sample in samples for label in sample.labels}


def test_every_metric_and_label_of_the_dashboard_exists(dashboard: dict[str, Any]) -> None:
    names, labels = told()
    asked = {name for expression in expressions(dashboard) for name in METRIC.findall(expression)}
    assert asked <= names
    queries = [variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    assert set(METRIC.findall(json.dumps(queries))) <= names
    used = {
        label
        for expression in expressions(dashboard)
        for label in [
            *re.findall(r"(\w+)=~?\"", expression),
            *(name for by in re.findall(r"by \(([^)]*)\)", expression) for name in by.split(", ")),
        ]
    }
    assert used <= labels


def test_grafana_can_place_every_panel_on_any_data_source(dashboard: dict[str, Any]) -> None:
    assert dashboard["schemaVersion"] >= 39
    assert [variable["type"] for variable in dashboard["templating"]["list"]] == ["datasource", "query"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert place["x"] + place["w"] <= 24
        mine = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert cells.isdisjoint(mine)
        cells |= mine
    assert all(expression.count("(") == expression.count(")") for expression in expressions(dashboard))
