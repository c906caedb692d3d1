import json
from pathlib import Path

from serve.access_log import AccessLog, Entry
from serve.metrics import MOST_ADAPTERS, OTHER, Metrics


def test_labels_do_not_grow_without_end() -> None:
    metrics = Metrics()
    for number in range(2 * MOST_ADAPTERS):
        metrics.count(f"demo:{number}", 200, 3, 5)
    text = metrics.render({"engine_ready": 1.0}).decode()
    assert text.count('adaptory_requests_total{adapter="') == MOST_ADAPTERS + 1
    assert f'adaptory_tokens_total{{adapter="{OTHER}",direction="out"}} {5.0 * MOST_ADAPTERS}' in text
    assert 'adaptory_state{what="engine_ready"} 1.0' in text


def test_a_request_is_one_line_of_json(tmp_path: Path) -> None:
    access = AccessLog(tmp_path / "logs")
    access.write(Entry("id-1", "/v1/completions", model="a\nb", status=200, duration=1.23456))
    access.close()
    (line,) = (tmp_path / "logs" / "access.jsonl").read_text(encoding="utf-8").splitlines()
    entry = json.loads(line)
    assert entry["model"] == "a\nb"
    assert entry["duration"] == 1.2346
