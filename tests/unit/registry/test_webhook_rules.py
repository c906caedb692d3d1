"""Where webhooks may point, when they are tried again, and what an attempt looks like."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.embedded.registry import EmbeddedRegistry
from registry.errors import InvalidInput
from registry.webhook import valid_url
from registry.webhooks.backoff import LONGEST_SECONDS, Backoff
from tests.unit.registry.test_replicas import run


@pytest.mark.parametrize(
    "url",
    ["", "example.com", "ftp://example.com", "file:///etc/passwd", "http://", "https://[::1", "http://x:99999",
     "http://x:0", "http://a:b@x", "http://a@x", "http://x/#y", "http://x/ y", "http://x/\n", "http://ü",
     "http://x/" + "y" * 2000],
)  # fmt: skip
def test_urls_that_cannot_be_posted_to(url: str) -> None:
    with pytest.raises(InvalidInput):
        valid_url(url)


@given(st.integers(1, 50), st.floats(0, 1), st.floats(0, 1e9))
def test_waits_are_bounded_and_give_up(failures: int, chance: float, asked: float) -> None:
    wait = Backoff().wait(failures, chance, asked)
    assert (wait is None) == (failures >= 10)
    if wait is not None:
        exponential = min(LONGEST_SECONDS, 5 * 4 ** (failures - 1))
        assert min(exponential / 2, LONGEST_SECONDS) <= wait.total_seconds() + 1e-6
        assert wait.total_seconds() <= LONGEST_SECONDS
        assert wait.total_seconds() >= min(asked, LONGEST_SECONDS) - 1e-6


def test_an_attempt_is_a_line_of_json(embedded: EmbeddedRegistry) -> None:
    added = embedded.webhooks.add("http://127.0.0.1:9/hook", actor="ada", kinds=("key",))
    run(embedded, "key", "create", "ci")
    (line,) = run(embedded, "webhook", "deliver", "--json").stdout.splitlines()
    attempt = json.loads(line)
    assert attempt["id"].startswith(f"{added.webhook.id}-")
    assert (attempt["kind"], attempt["subject"]) == ("key", "ci")
    assert "ConnectError" in attempt["failure"]
