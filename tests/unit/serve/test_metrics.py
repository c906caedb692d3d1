import json
from pathlib import Path

from serve.watching.access_log import AccessLog, Entry
from serve.watching.metrics import IDLE_SECONDS, MOST_ADAPTERS, OTHER, Metrics, Presence


def ended(status: int = 200, **fields: object) -> Entry:
    return Entry("id", "/v1/completions", status=status, tokens_in=3, tokens_out=5, **fields)  # type: ignore[arg-type]


def test_labels_do_not_grow_without_end() -> None:
    metrics = Metrics(lambda: 0.0)
    for number in range(2 * MOST_ADAPTERS):
        metrics.ended(f"demo:{number}", ended())
        metrics.failed("", f"code-{number}")
    metrics.note(
        {}, {"0": {"engine_ready": 1.0}}, {f"demo:{number}": Presence(1, 2, 3) for number in range(2 * MOST_ADAPTERS)}
    )
    text = metrics.render().decode()
    assert text.count('adaptory_requests_total{adapter="') == MOST_ADAPTERS  # "" has one place, "other" comes on top
    assert text.count("adaptory_errors_total{") < MOST_ADAPTERS
    assert f'adaptory_tokens_total{{adapter="{OTHER}",direction="out"}} {5.0 * (MOST_ADAPTERS + 1)}' in text
    assert f'adaptory_adapter{{adapter="{OTHER}",where="queue"}} {3.0 * (MOST_ADAPTERS + 1)}' in text
    assert '\nadaptory_engine_ready{engine="0"} 1.0' in text


def test_an_adapter_that_nobody_asks_for_gives_its_place_up() -> None:
    now = 0.0
    metrics = Metrics(lambda: now)
    for number in range(MOST_ADAPTERS):
        metrics.ended(f"demo:{number}", ended())
    now = IDLE_SECONDS
    metrics.ended("demo:0", ended())
    metrics.ended("new:1", ended())
    text = metrics.render().decode()
    assert 'adapter="new:1"' in text
    assert 'adapter="demo:0"' in text
    assert 'adapter="demo:1"' not in text


def test_where_adapters_are_is_of_this_moment() -> None:
    metrics = Metrics()
    metrics.note({}, {}, {"demo:1": Presence(1, 2, 3)})
    assert 'adaptory_adapter{adapter="demo:1",where="engine"} 2.0' in metrics.render().decode()
    metrics.note({}, {}, {})
    assert "adaptory_adapter{" not in metrics.render().decode()


def test_the_time_between_tokens_is_that_of_streams() -> None:
    metrics = Metrics()
    metrics.ended("demo:1", ended(stream=True, ttft=1.0, duration=3.0))
    metrics.ended("demo:1", ended(stream=False, ttft=3.0, duration=3.0))
    metrics.ended("demo:1", ended(status=404))
    text = metrics.render().decode()
    assert 'adaptory_inter_token_seconds_count{adapter="demo:1"} 1.0' in text
    assert 'adaptory_inter_token_seconds_sum{adapter="demo:1"} 0.5' in text
    assert 'adaptory_request_seconds_count{adapter="demo:1"} 2.0' in text
    assert 'adaptory_requests_total{adapter="demo:1",status="404"} 1.0' in text


def test_a_request_is_one_line_of_json(tmp_path: Path) -> None:
    access = AccessLog(tmp_path / "logs")
    access.write(Entry("id-1", "/v1/completions", model="a\nb", status=200, duration=1.23456))
    access.close()
    (line,) = (tmp_path / "logs" / "access.jsonl").read_text(encoding="utf-8").splitlines()
    entry = json.loads(line)
    assert entry["model"] == "a\nb"
    assert entry["duration"] == 1.2346
